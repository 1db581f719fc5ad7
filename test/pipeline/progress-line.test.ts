import { PassThrough } from 'node:stream';
import { expect, it, vi } from 'vitest';
import { ExperimentsReporter } from '../../pipeline/commands/experiments-reporter.js';

function terminal(columns: number, isTTY = true) {
  const stream = Object.assign(new PassThrough(), { columns, isTTY }) as unknown as NodeJS.WriteStream;
  let written = '';
  stream.on('data', (bytes: Buffer) => {
    written += bytes.toString();
  });
  return { stream, written: () => written };
}

it('the line of what goes on is no wider than the terminal, and gone before a line that stays', () => {
  vi.stubEnv('TERM', 'xterm');
  const { stream, written } = terminal(40);
  const reporter = new ExperimentsReporter(stream);
  reporter.experimentStarted(0, 'VARY, context 12288, 3 requests, and a long title beyond the edge');
  reporter.line('stays');
  const shown = '  experiment 0: VARY, context 12288, 3 requests'.slice(0, 39);
  expect(written()).toBe(`\r\u001b[2K${shown}\r\u001b[2Kstays\n`);
  // The next one is drawn at once, whenever the last one was.
  reporter.experimentStarted(1, 'next');
  expect(written().endsWith('\r\u001b[2K  experiment 1: next')).toBe(true);
  vi.unstubAllEnvs();
});

it.each([
  ['is no terminal', terminal(80, false)],
  ['is one without a width', terminal(0)],
])('nothing is overwritten where the output %s', (_, { stream, written }) => {
  const reporter = new ExperimentsReporter(stream);
  reporter.experimentStarted(0, 'a title');
  reporter.progress('1/3');
  reporter.line('stays');
  expect(written()).toBe('stays\n');
});

import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';
import { parseExperimentCsv } from '../../results-schema/experiment-csv.js';
import { root, test } from './bench.js';

// The code of docs/experiments.md, taken out of the page and run.
const page = readFileSync(path.join(root, 'docs', 'experiments.md'), 'utf8');

function blockOf(file: string): string {
  const block = page.match(new RegExp(`\\*\\*\`${file}\`\\*\\*\\n\\n\`\`\`ts\\n([\\s\\S]*?)\`\`\``))?.[1];
  if (block === undefined) throw new Error(`docs/experiments.md has no block for "${file}"`);
  return block;
}

test('the examples of the guide run as they stand', async ({ bench }) => {
  const directory = path.join(bench.directory, 'work');
  for (const file of ['my-tests.ts', 'bursts.ts', 'my-engine.ts']) {
    writeFileSync(path.join(directory, file), blockOf(file));
  }
  // The guide's engine is anybody's: here the simulator under another name.
  const programs = path.join(bench.directory, 'programs');
  mkdirSync(programs);
  const main = path.join(root, 'dist', 'simulator', 'main.js');
  writeFileSync(
    path.join(programs, 'my-engine'),
    `#!/bin/sh\ntest "$MY_ENGINE_THREADS" = 4 || exit 9\nexec "${process.execPath}" "${main}" vllm "$@"\n`,
  );
  chmodSync(path.join(programs, 'my-engine'), 0o755);
  const ports = (await findFreePorts(2)).map(String);
  const ended = await bench.run(['experiments', 'my-tests.ts', '--table', '-p', ...ports], {
    ENGINE_LOG_DIR: path.join(bench.directory, 'logs'),
    PATH: `${programs}:${bench.environment['PATH']}`,
  });
  expect(ended.output).not.toContain('FAILED');
  expect([0, 3], ended.output).toContain(ended.code);
  expect(ended.stdout).toContain('the second request finds its context');
  const rows = (name: string) =>
    parseExperimentCsv(readFileSync(path.join(directory, 'outputs', `${name}.csv`), 'utf8'), name).rows;
  expect(rows('test_chunk_size')).toHaveLength(8);
  expect(
    rows('test_bursts')
      .map(({ timestamp }) => timestamp)
      .sort((a, b) => a - b),
  ).toEqual([0, 0, 0, 12, 12, 12].flatMap((time) => [time, time]));
});

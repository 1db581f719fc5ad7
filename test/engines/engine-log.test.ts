import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import stripAnsi from 'strip-ansi';
import { describe, expect, it } from 'vitest';
import { AnsiStripper, openEngineLog, readLogTail } from '../../engines/engine-log.js';
import { temporaryDirectory } from './engine-rig.js';

const pieces = fc.constantFrom(
  '\u001B[32;20m',
  '\u001B[0m',
  '\u001B[3m',
  '\u001B[2K',
  '\u001B]8;;http://127.0.0.1\u0007',
  'LMCache INFO:',
  ' ▄▄ ▄█ ',
  'é',
  '🙂',
  '\n',
  '\r',
  '\r\n',
  ' ',
);
const output = fc
  .oneof(fc.array(fc.oneof(pieces, fc.string({ unit: 'grapheme' }))), fc.array(pieces))
  .map((all) => all.join(''));

/** The bytes cut at any places, also within characters and codes. */
function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((at) => at % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

describe('stripping ANSI codes from a stream', () => {
  it('gives what stripping the whole text gives, however the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(output, fc.array(fc.nat(), { maxLength: 8 }), async (whole, cuts) => {
        const stripped = Readable.from(cut(Buffer.from(whole), cuts)).pipe(new AnsiStripper());
        expect(await text(stripped)).toBe(stripAnsi(Buffer.from(whole).toString()));
      }),
      { numRuns: 300 },
    );
  });

  it('passes on a line without an end before it is held for ever', async () => {
    const stripper = new AnsiStripper();
    stripper.write(Buffer.from(`${'.'.repeat(70_000)}\u001B[3`));
    expect(String(stripper.read())).toHaveLength(70_000);
    stripper.end(Buffer.from('1mred'));
    expect(await text(stripper)).toBe('red');
  });
});

describe('an engine log', () => {
  it('holds both streams from the first byte, appended to what was there', async () => {
    const logPath = path.join(temporaryDirectory(), 'logs', 'engine.log');
    mkdirSync(path.dirname(logPath));
    writeFileSync(logPath, 'before\n');
    const log = await openEngineLog(logPath);
    const [out, err] = [new PassThrough(), new PassThrough()];
    log.follow(out);
    log.follow(err);
    out.end('\u001B[1mout\u001B[0m\n');
    await new Promise((resolve) => out.once('close', resolve));
    err.end('err, no end of line');
    await new Promise((resolve) => err.once('close', resolve));
    await log.close();
    expect(readFileSync(logPath, 'utf8')).toBe('before\nout\nerr, no end of line');
  });

  it('is closed while somebody still writes', async () => {
    const logPath = path.join(temporaryDirectory(), 'engine.log');
    const log = await openEngineLog(logPath);
    const stream = new PassThrough();
    log.follow(stream);
    stream.write('first\n');
    await new Promise((resolve) => setImmediate(resolve));
    await log.close();
    for (let round = 0; round < 100; round++) stream.write('x'.repeat(10_000));
    await new Promise((resolve) => stream.end(resolve));
    expect(readFileSync(logPath, 'utf8')).toBe('first\n');
  });

  it('says so when it cannot be written', async () => {
    const file = path.join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    await expect(openEngineLog(path.join(file, 'engine.log'))).rejects.toThrow();
  });
});

describe('the end of a log', () => {
  it('gives the last lines, newest last', async () => {
    const logPath = path.join(temporaryDirectory(), 'engine.log');
    writeFileSync(logPath, 'one\ntwo\r\nthree\n');
    expect(await readLogTail(logPath, 2)).toEqual(['two', 'three']);
    expect(await readLogTail(logPath, 9)).toEqual(['one', 'two', 'three']);
    writeFileSync(logPath, '');
    expect(await readLogTail(logPath, 9)).toEqual([]);
    expect(await readLogTail(path.join(logPath, 'missing'), 9)).toEqual([]);
  });

  it('leaves out the line that a long log was cut in', async () => {
    const logPath = path.join(temporaryDirectory(), 'engine.log');
    appendFileSync(logPath, `${'x'.repeat(65_540)}\nlast\n`);
    expect(await readLogTail(logPath, 9)).toEqual(['last']);
  });
});

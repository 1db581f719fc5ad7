import { type FileHandle, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { ROWS_A_GROUP } from '../../workloads/traces/columnar-format.js';
import { ColumnarReader } from '../../workloads/traces/columnar-reader.js';
import { type ColumnarRow, ColumnarWriter } from '../../workloads/traces/columnar-writer.js';
import { convertTrace } from '../../workloads/traces/convert-trace.js';
import { openTrace } from '../../workloads/traces/open-trace.js';
import { TraceFileError } from '../../workloads/traces/trace.js';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lmcache-ci-columns-'));
});
afterEach(() => rm(directory, { recursive: true }));

async function write(path: string, rows: readonly ColumnarRow[], blockTokens: number | null) {
  const writer = await ColumnarWriter.create(path, blockTokens);
  try {
    for (const row of rows) if (writer.add(row)) await writer.flush();
    await writer.finish({ conversations: 9, startedAt: 1.5, distinctBlocks: 7, timesMade: true });
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

async function readRows(path: string): Promise<ColumnarRow[]> {
  const reader = await ColumnarReader.open(path);
  const rows: ColumnarRow[] = [];
  try {
    for (let group = 0; group < reader.groupCount; group += 1) {
      const columns = await reader.readGroup(group);
      let ids = 0;
      for (let row = 0; row < columns.rows; row += 1) {
        const count = columns.blockCounts[row] ?? 0;
        rows.push({
          timeSeconds: columns.times[row] ?? -1,
          conversation: columns.conversations[row] ?? -1,
          turn: columns.turns[row] ?? -1,
          newTokens: columns.newTokens[row] ?? -1,
          promptTokens: columns.promptTokens[row] ?? -1,
          outputTokens: columns.outputTokens[row] ?? -1,
          ...(reader.header.blockTokens === null ? {} : { blockIds: [...columns.blockIds.slice(ids, ids + count)] }),
        });
        ids += count;
      }
    }
    return rows;
  } finally {
    await reader.close();
  }
}

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const row = fc.record({
  timeSeconds: fc.double({ noNaN: true }),
  conversation: word,
  turn: word,
  newTokens: word,
  promptTokens: word,
  outputTokens: word,
});
const simple = (index: number): ColumnarRow => ({
  timeSeconds: index / 10,
  conversation: index % 9,
  turn: Math.floor(index / 9),
  newTokens: index,
  promptTokens: index * 2,
  outputTokens: 3,
});

/** What all file handles have in common: there it can be decided what a disk answers. */
async function fileHandles(): Promise<FileHandle> {
  const handle = await open(join(directory, 'any'), 'w');
  await handle.close();
  return Object.getPrototypeOf(handle);
}

describe('what a disk refuses', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('names the file', async () => {
    const path = join(directory, 'full.lctrace');
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
      code: 'ENOSPC',
      syscall: 'write',
    });
    const writing = vi.spyOn(await fileHandles(), 'write').mockRejectedValueOnce(full);
    await expect(write(path, [simple(0)], null)).rejects.toThrow(
      `"${path}" cannot be written: ENOSPC: no space left on device, write`,
    );
    writing.mockRestore();
    await expect(ColumnarWriter.create('/proc/x.lctrace', null)).rejects.toThrow('"/proc/x.lctrace" cannot be written');
    await expect(ColumnarWriter.create('/proc/x/y.lctrace', null)).rejects.toThrow('"/proc/x/y.lctrace" cannot be');
  });

  it('is noticed where it takes only a part', async () => {
    const path = join(directory, 'part.lctrace');
    const handles = await fileHandles();
    const whole = handles.write;
    vi.spyOn(handles, 'write').mockImplementation(function (this: FileHandle, ...given: unknown[]) {
      const [bytes, at, length, offset] = z
        .tuple([z.instanceof(Buffer), z.number(), z.number(), z.number()])
        .parse(given);
      return Reflect.apply(whole, this, [bytes, at, Math.ceil(length / 2), offset]);
    });
    const rows = Array.from({ length: 20 }, (_, index) => simple(index));
    await write(path, rows, null);
    expect(await readRows(path)).toEqual(rows);
  });
});

describe('the columnar form', () => {
  it('gives back what was written', async () => {
    const withBlocks = fc
      .tuple(row, fc.array(word, { maxLength: 5 }))
      .map(([columns, blockIds]) => ({ ...columns, blockIds }));
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.record({ rows: fc.array(row, { minLength: 1, maxLength: 30 }), blockTokens: fc.constant(null) }),
          fc.record({ rows: fc.array(withBlocks, { minLength: 1, maxLength: 30 }), blockTokens: fc.constant(512) }),
        ),
        async ({ rows, blockTokens }) => {
          const path = join(directory, 'x.lctrace');
          await write(path, rows, blockTokens);
          expect(await readRows(path)).toEqual(rows);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('holds more than one group', async () => {
    const rows = Array.from({ length: ROWS_A_GROUP + 3 }, (_, index) => simple(index));
    const path = join(directory, 'x.lctrace');
    await write(path, rows, null);
    expect(await readRows(path)).toEqual(rows);
    const reader = await ColumnarReader.open(path);
    expect(reader.header).toMatchObject({ requests: rows.length, conversations: 9, startedAt: 1.5, timesMade: true });
    await reader.close();
  });

  it('tells damage, cuts, and what is none', async () => {
    const path = join(directory, 'x.lctrace');
    await write(
      path,
      Array.from({ length: 5 }, (_, index) => simple(index)),
      null,
    );
    const whole = await readFile(path);
    for (let at = 0; at < whole.length; at += at < 128 ? 4 : 7) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      await writeFile(path, damaged);
      await expect(readRows(path), `byte ${at}`).rejects.toBeInstanceOf(TraceFileError);
    }
    for (let length = 0; length < whole.length; length += 31) {
      await writeFile(path, whole.subarray(0, length));
      await expect(readRows(path), `${length} bytes`).rejects.toBeInstanceOf(TraceFileError);
    }
    await writeFile(path, Buffer.concat([whole, Buffer.from([0])]));
    await expect(readRows(path)).rejects.toThrow('cut off or damaged');
    const newer = Buffer.from(whole);
    newer.writeUInt32LE(2, 8);
    await writeFile(path, newer);
    await expect(readRows(path)).rejects.toThrow('is of version "2", known is 1');
    await expect(openTrace(path)).rejects.toThrow('is in columns already');
  });
});

describe('converting a trace', () => {
  const csv = (rows: readonly (readonly [number, string, number, number])[]) =>
    `time,conversation,input_tokens,output_tokens\n${rows.map((fields) => `${fields.join(',')}\n`).join('')}`;

  it('sorts what is not in order of time, and counts turns and prompts in that order', async () => {
    const request = fc.tuple(fc.nat(50), fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 1, max: 900 }), fc.nat(99));
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 20 }), async (given) => {
        const names = [...new Set(given.map(([, name]) => name))];
        const sorted = [...given].sort((a, b) => a[0] - b[0]);
        const files = { given: join(directory, 'given'), sorted: join(directory, 'sorted') };
        await writeFile(files.given, csv(given));
        await writeFile(files.sorted, csv(sorted));
        const converted = await convertTrace(await openTrace(files.given), `${files.given}.lctrace`);
        await convertTrace(await openTrace(files.sorted), `${files.sorted}.lctrace`);
        const inOrder = [...new Set(sorted.map(([, name]) => name))];
        const renamed = (await readRows(`${files.sorted}.lctrace`)).map((one) => ({
          ...one,
          conversation: names.indexOf(inOrder[one.conversation] ?? 'a'),
        }));
        expect(await readRows(`${files.given}.lctrace`)).toEqual(renamed);
        expect(converted).toMatchObject({
          requests: given.length,
          sorted: given.some(([time], at) => time < Math.max(...given.slice(0, at).map(([other]) => other), 0)),
        });
      }),
      { numRuns: 12 },
    );
    expect((await readdir(directory)).sort()).toEqual(['given', 'given.lctrace', 'sorted', 'sorted.lctrace']);
  });

  it('numbers blocks by what stands before them', async () => {
    const line = (ids: readonly (number | string)[]) =>
      `${JSON.stringify({ timestamp: 0, input_length: ids.length * 512, output_length: 1, hash_ids: ids })}\n`;
    const path = join(directory, 'm.jsonl');
    await writeFile(path, line([7, 9]) + line([9]) + line([7, 9, 'x']) + line([7, 8, 'x']));
    await convertTrace(await openTrace(path), `${path}.lctrace`);
    const rows = await readRows(`${path}.lctrace`);
    expect(rows.map(({ blockIds }) => blockIds)).toEqual([[0, 1], [2], [0, 1, 3], [0, 4, 5]]);
  });

  it('makes times where there are none, equal ones for equal seeds', async () => {
    const path = join(directory, 's.json');
    const conversations = [{ value: 'a' }, { value: 'b' }, { value: 'c' }, { value: 'd' }];
    await writeFile(path, JSON.stringify([{ conversations }, { conversations }, { conversations }]));
    const times = async (seed: number) => {
      await convertTrace(await openTrace(path), `${path}.lctrace`, { seed });
      return (await readRows(`${path}.lctrace`)).map(({ timeSeconds }) => timeSeconds);
    };
    const first = await times(1);
    expect(first).toEqual([...first].sort((a, b) => a - b));
    expect(first[0]).toBe(0);
    expect(await times(1)).toEqual(first);
    expect(await times(2)).not.toEqual(first);
  });

  it('leaves nothing behind when it fails or is interrupted', async () => {
    const path = join(directory, 'x.csv');
    await writeFile(path, `${csv([[0, 'a', 5, 1]])}1,a,x,1\n`);
    await expect(convertTrace(await openTrace(path), `${path}.lctrace`)).rejects.toThrow(
      'line 3, column "input_tokens"',
    );
    await writeFile(path, csv([[0, 'a', 5, 1]]));
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(convertTrace(await openTrace(path), `${path}.lctrace`, { signal })).rejects.toThrow('enough');
    expect(await readdir(directory)).toEqual(['x.csv']);
  });
});

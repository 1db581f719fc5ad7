import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { describeRecordingFolder, type RecordingEntry, RowFile } from '../../pipeline/commands/record-files.js';

/** Bytes that still fit on the disk. */
let free = Number.POSITIVE_INFINITY;
vi.mock('node:fs', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs')>();
  return {
    ...real,
    writeFileSync: (file: string | number, text: string) => {
      real.writeFileSync(file, text.slice(0, free));
      if (text.length > free)
        throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC', syscall: 'write' });
      free -= text.length;
    },
  };
});

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'record-files-'));
});
afterEach(() => {
  free = Number.POSITIVE_INFINITY;
  rmSync(folder, { recursive: true });
});

const text = (name: string): string => readFileSync(join(folder, name), 'utf8');

describe('a file of rows', () => {
  it('holds whole rows on a disk that is full, and all rows of a batch or none', () => {
    const file = new RowFile(folder, 'x.csv', 'a,b', () => undefined);
    free = 15;
    file.add(['1,2\n', '3,4\n']);
    expect(() => file.add(['5,6\n', '7,8\n'])).toThrow(`"${join(folder, 'x.csv')}" cannot be written: ENOSPC`);
    file.close();
    expect([text('x.csv'), file.rows]).toEqual(['a,b\n1,2\n3,4\n', 2]);
  });

  it('is not there where no row fitted, or none came', () => {
    const file = new RowFile(folder, 'x.csv', 'a,b', () => undefined);
    free = 6;
    expect(() => file.add(['1,2\n'])).toThrow('ENOSPC');
    file.add([]);
    file.close();
    new RowFile(folder, 'y.csv', 'a,b', () => undefined).close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('says that it begins before it is there, once', () => {
    const seen: (readonly string[])[] = [];
    const file = new RowFile(folder, 'x.csv', 'a,b', () => seen.push(readdirSync(folder)));
    file.add([]);
    file.add(['1,2\n']);
    file.add(['3,4\n']);
    file.close();
    expect(seen).toEqual([[]]);
  });

  it('never takes the place of another', () => {
    writeFileSync(join(folder, 'x.csv'), 'old');
    const file = new RowFile(folder, 'x.csv', 'a,b', () => undefined);
    expect(() => file.add(['1,2\n'])).toThrow('EEXIST');
    file.close();
    expect(text('x.csv')).toBe('old');
  });
});

describe('recording.json', () => {
  const description = () => JSON.parse(text('recording.json'));
  let calls = 0;
  const describeCall = (entry: Partial<RecordingEntry>): void => {
    calls += 1;
    describeRecordingFolder(folder, {
      ...{ model: 'm', engine: 'lmcache', numGpuBlocks: null, simulated: null, facts: {} },
      ...{ date: `call ${calls}`, ...entry },
    });
  };

  it('has the smallest KV pool of each engine, and takes one number as the pool of both', () => {
    const pools = (engine: 'lmcache' | 'baseline', numGpuBlocks: number | null) => {
      describeCall({ engine, numGpuBlocks });
      return description().numGpuBlocks;
    };
    expect(pools('lmcache', null)).toEqual({});
    expect(pools('lmcache', 300)).toEqual({ lmcache: 300 });
    expect(pools('lmcache', 310)).toEqual({ lmcache: 300 });
    expect(pools('baseline', 500)).toEqual({ lmcache: 300, baseline: 500 });
    expect(pools('baseline', null)).toEqual({ lmcache: 300, baseline: 500 });
    writeFileSync(join(folder, 'recording.json'), '{ "numGpuBlocks": 400 }');
    expect(pools('lmcache', 350)).toEqual({ lmcache: 350, baseline: 400 });
  });

  it('has a line for each call, however often that describes itself, and keeps what else was in it', () => {
    writeFileSync(
      join(folder, 'recording.json'),
      '{ "l2Adapter": { "type": "mock" }, "recordings": [{ "by": "hand" }] }',
    );
    describeCall({ date: 'first', facts: { interrupted: true } });
    describeCall({ date: 'first', facts: { interrupted: false } });
    describeCall({ date: 'second', facts: { interrupted: true } });
    expect(description()).toMatchObject({
      l2Adapter: { type: 'mock' },
      recordings: [{ by: 'hand' }, { date: 'first', interrupted: false }, { date: 'second', interrupted: true }],
    });
    expect(description().recordings).toHaveLength(3);
  });
});

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EventLog } from '../../results-schema/event-log.js';
import { createResultsDirectory, openResultsDirectory } from '../../results-schema/results-directory-fs.js';
import { sampleRun } from './sample-run.js';

const nobodyLives = async () => false;
const nobody = 65534;
let parent: string;
let root: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'lmcache-ci-results-'));
  root = join(parent, 'results');
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

function create(buildId = 'mine', isLive: (id: string) => Promise<boolean> = nobodyLives) {
  return createResultsDirectory(root, { buildId, isLive });
}

/** The tests run as root in containers, where every directory is writable. */
async function unprivileged<Result>(work: () => Promise<Result>): Promise<Result> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(nobody);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

describe('creating a results directory', () => {
  it('makes it and its parents, closed to the writing of others whatever the umask', async () => {
    const before = process.umask(0);
    try {
      root = join(parent, 'a', 'b', 'results');
      const directory = await create();
      expect(directory.archivedTo).toBeNull();
      expect(statSync(root).mode & 0o777).toBe(0o755);
      await directory.writeText('lm_eval/first_run/note.txt', 'x');
      expect(statSync(join(root, 'lm_eval/first_run')).mode & 0o777).toBe(0o755);
      expect(statSync(join(root, 'lm_eval/first_run/note.txt')).mode & 0o777).toBe(0o644);
    } finally {
      process.umask(before);
    }
  });

  it('takes an empty directory, empty subdirectories of a run that died at once, and files of others', async () => {
    mkdirSync(join(root, 'logs'), { recursive: true });
    writeFileSync(join(root, 'build.log'), 'of an earlier CI stage');
    expect((await create()).archivedTo).toBeNull();
    expect(existsSync(join(root, 'build.log'))).toBe(true);
  });

  it('refuses a symbolic link, even one to a directory of ours', async () => {
    mkdirSync(join(parent, 'real'));
    symlinkSync(join(parent, 'real'), root);
    await expect(create()).rejects.toMatchObject({ problem: 'symbolic-link', path: root });
    expect(readdirSync(join(parent, 'real'))).toEqual([]);
  });

  it('refuses a dangling link, which mkdir would not see through either', async () => {
    symlinkSync(join(parent, 'nowhere'), root);
    await expect(create()).rejects.toMatchObject({ problem: 'symbolic-link' });
  });

  it('refuses a file', async () => {
    writeFileSync(root, '');
    await expect(create()).rejects.toMatchObject({ problem: 'not-a-directory' });
  });

  it('refuses a path below a file, saying why', async () => {
    writeFileSync(join(parent, 'file'), '');
    root = join(parent, 'file', 'results');
    await expect(create()).rejects.toMatchObject({ problem: 'not-writable' });
    await expect(create()).rejects.toThrow(/"ENOTDIR|ENOTDIR/);
  });

  it("refuses another user's directory", async () => {
    mkdirSync(root);
    if (process.geteuid?.() === 0) {
      chownSync(root, nobody, nobody);
      await expect(create()).rejects.toMatchObject({ problem: 'other-owner' });
    } else {
      root = '/usr';
      await expect(create()).rejects.toMatchObject({ problem: 'other-owner' });
    }
  });

  it('refuses a directory that everybody can write', async () => {
    mkdirSync(root);
    chmodSync(root, 0o777);
    await expect(create()).rejects.toMatchObject({ problem: 'world-writable' });
  });

  it('refuses a parent it cannot write', async () => {
    chmodSync(parent, 0o555);
    await expect(unprivileged(create)).rejects.toMatchObject({ problem: 'not-writable' });
    chmodSync(parent, 0o755);
    expect(existsSync(root)).toBe(false);
  });

  it('refuses its own directory when it is read-only', async () => {
    mkdirSync(root);
    if (process.geteuid?.() === 0) chownSync(root, nobody, nobody);
    chmodSync(parent, 0o755);
    chmodSync(root, 0o555);
    await expect(unprivileged(create)).rejects.toMatchObject({ problem: 'not-writable' });
    await expect(unprivileged(() => openResultsDirectory(root))).rejects.toMatchObject({ problem: 'not-writable' });
  });
});

describe('a directory that already holds a run', () => {
  it('moves a finished run of the same id away, each under a number of its own', async () => {
    for (const expected of [null, `${root}.1`, `${root}.2`]) {
      const directory = await create();
      expect(directory.archivedTo).toBe(expected);
      expect(readdirSync(root)).toEqual([]);
      await directory.writeJson('run.json', sampleRun({ buildId: 'mine' }));
    }
    expect(readdirSync(`${root}.1`)).toEqual(['run.json']);
  });

  it('knows a run by its first event when it never wrote run.json', async () => {
    const directory = await create();
    const log = new EventLog(directory.path('events.jsonl'));
    log.append({ type: 'run-started', buildId: 'mine', command: [], engine: 'sim', runtime: 'process' });
    log.close();
    expect((await create()).archivedTo).toBe(`${root}.1`);
  });

  it('refuses a live run and leaves its files alone', async () => {
    const directory = await create();
    await directory.writeJson('run.json', sampleRun({ buildId: 'mine' }));
    const asked: string[] = [];
    const isLive = async (id: string) => {
      asked.push(id);
      return true;
    };
    await expect(create('mine', isLive)).rejects.toMatchObject({ problem: 'live-run' });
    expect(asked).toEqual(['mine']);
    expect(readdirSync(root)).toEqual(['run.json']);
  });

  it('moves a finished run of another id away too, and refuses one that is alive', async () => {
    const directory = await create('theirs');
    await directory.writeJson('run.json', sampleRun({ buildId: 'theirs' }));
    await expect(create('mine', async () => true)).rejects.toThrow(/run "theirs" is still alive.*another RESULTS_DIR/);
    await expect(create('mine', async () => true)).rejects.toMatchObject({ problem: 'other-run' });
    expect((await create('mine')).archivedTo).toBe(`${root}.1`);
  });

  it('refuses results that belong to no run that can be told', async () => {
    mkdirSync(join(root, 'lm_eval', 'first_run'), { recursive: true });
    writeFileSync(join(root, 'lm_eval', 'first_run', 'samples.jsonl'), '');
    await expect(create()).rejects.toMatchObject({ problem: 'foreign-files' });
    await expect(create()).rejects.toThrow(/samples\.jsonl/);
  });

  it('refuses a half-written run.json of nobody', async () => {
    mkdirSync(root);
    writeFileSync(join(root, 'run.json'), '{"buildId":');
    await expect(create()).rejects.toMatchObject({ problem: 'foreign-files' });
  });
});

describe('joining', () => {
  it('opens an existing directory', async () => {
    await create();
    expect((await openResultsDirectory(root)).root).toBe(root);
  });
  it('refuses one that is not there', async () => {
    await expect(openResultsDirectory(root)).rejects.toMatchObject({ problem: 'not-writable' });
  });
});

describe('writing', () => {
  it('refuses paths that lead out', async () => {
    const directory = await create();
    expect(() => directory.path('..', 'x')).toThrow(/leads out/);
    expect(() => directory.path('a/../../results-evil')).toThrow(/leads out/);
    await expect(directory.writeText('../x', '')).rejects.toThrow(/leads out/);
    expect(directory.path('a', 'b')).toBe(join(root, 'a', 'b'));
    expect(directory.path()).toBe(root);
  });

  it('leaves the old file and no temporary one when a value is not valid', async () => {
    const directory = await create();
    await directory.writeJson('run.json', sampleRun());
    const before = readFileSync(join(root, 'run.json'), 'utf8');
    await expect(directory.writeJson('run.json', { ...sampleRun(), engine: 'gpu' })).rejects.toThrow(
      /"run\.json" would not be valid.*engine/s,
    );
    expect(readFileSync(join(root, 'run.json'), 'utf8')).toBe(before);
    expect(readdirSync(root)).toEqual(['run.json']);
  });

  it('finds the schema whatever way the path is spelled', async () => {
    const directory = await create();
    await expect(directory.writeJson('./vllm_bench/../run.json', {})).rejects.toThrow(/"run\.json" would not be valid/);
  });

  it('removes its temporary file when the rename fails', async () => {
    const directory = await create();
    mkdirSync(join(root, 'taken', 'inside'), { recursive: true });
    await expect(directory.writeText('taken', 'x')).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(readdirSync(root)).toEqual(['taken']);
  });

  it('writes one line where a consumer reads the last line', async () => {
    const directory = await create();
    const result = {
      query_ttft_per_prompt: 0.15,
      query_round_time_per_prompt: 0.45,
      warmup_round_time_per_prompt: 2.1,
    };
    await directory.writeJson('long_doc_qa/lmcache_result.json', result, { singleLine: true });
    expect(readFileSync(join(root, 'long_doc_qa/lmcache_result.json'), 'utf8')).toBe(`${JSON.stringify(result)}\n`);
  });

  it('lets a test step of your own write what it likes, but no NaN', async () => {
    const directory = await create();
    await directory.writeJson('my_test/result.json', { any: ['thing'] });
    expect(JSON.parse(readFileSync(join(root, 'my_test/result.json'), 'utf8'))).toEqual({ any: ['thing'] });
    await expect(directory.writeJson('my_test/result.json', { deep: [{ value: Number.NaN }] })).rejects.toThrow(
      /"value" is NaN/,
    );
  });

  it('survives many writers of one file: always one of their whole texts', async () => {
    const directory = await create();
    const texts = Array.from({ length: 20 }, (_, index) => String(index).repeat(10_000));
    await Promise.all(texts.map((text) => directory.writeText('same.txt', text)));
    expect(texts).toContain(readFileSync(join(root, 'same.txt'), 'utf8'));
    expect(readdirSync(root)).toEqual(['same.txt']);
  });
});

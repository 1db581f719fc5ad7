import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { identifySelf, readBootId } from '../../engines/process-identity.js';
import { withFileLock } from '../../steps/file-lock.js';

async function lockFile(): Promise<string> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-lock-test-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return path.join(directory, 'nested', 'a.lock');
}

const { signal } = new AbortController();

describe('withFileLock', () => {
  it('lets one in at a time and leaves nothing behind', async () => {
    const file = await lockFile();
    let inside = 0;
    let most = 0;
    const work = async () => {
      inside += 1;
      most = Math.max(most, inside);
      await nextTurn();
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 5 }, () => withFileLock({ file, signal }, work)));
    expect(most).toBe(1);
    expect(await readdir(path.dirname(file))).toEqual([]);
  });

  it('is released when the work fails', async () => {
    const file = await lockFile();
    await expect(withFileLock({ file, signal }, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(existsSync(file)).toBe(false);
  });

  it.each([
    ['a process that is gone', () => ({ pid: 2 ** 22 - 1, startTime: 1, bootId: readBootId() })],
    ['an earlier process with a pid that lives', () => ({ ...identifySelf(), startTime: 1, bootId: readBootId() })],
    ['another boot', () => ({ ...identifySelf(), bootId: 'other' })],
  ])('breaks the lock of %s', async (_, owner) => {
    const file = await lockFile();
    await withFileLock({ file, signal }, () => Promise.resolve());
    await writeFile(file, JSON.stringify(owner()));
    expect(await withFileLock({ file, signal }, () => Promise.resolve('in'))).toBe('in');
  });

  it('breaks a lock that cannot be read', async () => {
    const file = await lockFile();
    await withFileLock({ file, signal }, () => Promise.resolve());
    await writeFile(file, '{"pid":');
    expect(await withFileLock({ file, signal }, () => Promise.resolve('in'))).toBe('in');
  });

  it('says who holds it, and stops waiting when aborted', async () => {
    const file = await lockFile();
    const abort = new AbortController();
    const owners: number[] = [];
    await withFileLock({ file, signal }, async () => {
      const waiting = withFileLock(
        {
          file,
          signal: abort.signal,
          onWaiting: (pid) => {
            owners.push(pid);
            abort.abort(new Error('enough'));
          },
        },
        () => Promise.resolve(),
      );
      await expect(waiting).rejects.toThrow();
    });
    expect(owners).toEqual([process.pid]);
  });
});

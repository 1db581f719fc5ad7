import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { withFileLock } from '../../engines/file-lock.js';
import { identifySelf, readBootId, readPidNamespace } from '../../engines/process-identity.js';
import { temporaryDirectory } from './engine-rig.js';

const owner = (changes: object) =>
  JSON.stringify({ ...identifySelf(), bootId: readBootId(), pidNamespace: readPidNamespace(), token: 'x', ...changes });

describe('the lock file', () => {
  it('is there while the work is done and gone afterwards, also when the work fails', async () => {
    const directory = temporaryDirectory();
    const lock = path.join(directory, 'lock');
    expect(await withFileLock(lock, async () => readdirSync(directory))).toEqual(['lock']);
    await expect(withFileLock(lock, () => Promise.reject(new Error('the work failed')))).rejects.toThrow(
      'the work failed',
    );
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each([
    ['whose owner has died', { startTime: 1 }],
    ['from before the last boot', { bootId: 'another' }],
  ])('is broken %s', async (_what, changes) => {
    const directory = temporaryDirectory();
    const lock = path.join(directory, 'lock');
    writeFileSync(lock, owner(changes));
    let inside = 0;
    const work = async () => {
      inside += 1;
      expect(inside).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 8 }, () => withFileLock(lock, work)));
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each([
    ['a live owner', owner({}), new RegExp(`process ${process.pid} holds it`)],
    ['an owner of another pid namespace', owner({ pidNamespace: 'pid:[1]', pid: 99 }), /process 99 holds it/],
    ['something that is no lock', 'garbage', /somebody who cannot be read in it holds it/],
  ])('of %s is respected, and named when time runs out', async (_what, content, message) => {
    const lock = path.join(temporaryDirectory(), 'lock');
    writeFileSync(lock, content);
    await expect(withFileLock(lock, async () => 1, { limitMs: 30 })).rejects.toThrow(message);
  });

  it('lets go of the waiting when aborted', async () => {
    const lock = path.join(temporaryDirectory(), 'lock');
    writeFileSync(lock, owner({}));
    const abort = new AbortController();
    const waiting = withFileLock(lock, async () => 1, { signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toThrow(/abort/i);
  });

  it('says once who holds it, and comes in when that one is done', async () => {
    const lock = path.join(temporaryDirectory(), 'lock');
    const holders: string[] = [];
    let release = () => {};
    const first = withFileLock(lock, () => new Promise<void>((resolve) => (release = resolve)));
    const second = withFileLock(lock, async () => 'in', {
      limitMs: Number.POSITIVE_INFINITY,
      onWaiting: (holder) => {
        holders.push(holder);
        setTimeout(() => release(), 30);
      },
    });
    expect(await second).toBe('in');
    await first;
    expect(holders).toEqual([`process ${process.pid}`]);
  });
});

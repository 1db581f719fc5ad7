import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { processIdentitySchema } from './live-run.js';
import { identifySelf, isProcessAlive, readBootId, readPidNamespace } from './process-identity.js';

const lockOwnerSchema = processIdentitySchema.extend({
  bootId: z.string(),
  pidNamespace: z.string(),
  /** Tells this locking from every other. */
  token: z.string(),
});
type LockOwner = z.infer<typeof lockOwnerSchema>;

const retryMs = 10;
/** A half-done breaking of a stale lock is forgotten after this. */
const breakingLimitMs = 5000;

export interface FileLockOptions {
  readonly signal?: AbortSignal;
  /** Default: a minute. */
  readonly limitMs?: number;
  /** Told once, when somebody else holds it: `process 4711`. */
  onWaiting?(holder: string): void;
}

/**
 * Runs `work` while no other process that uses the same lock file does. The file, in a folder that is there, names its
 * owner; the lock of an owner that died is broken.
 * @throws when the lock cannot be had within `limitMs`, naming the owner; the signal's reason when aborted.
 */
export async function withFileLock<Result>(
  lockPath: string,
  work: () => Promise<Result>,
  options: FileLockOptions = {},
): Promise<Result> {
  const token = await acquire(lockPath, options);
  try {
    return await work();
  } finally {
    if (readOwner(lockPath)?.token === token) rmSync(lockPath, { force: true });
  }
}

async function acquire(lockPath: string, { signal, limitMs = 60_000, onWaiting }: FileLockOptions): Promise<string> {
  const token = randomUUID();
  const owner: LockOwner = { ...identifySelf(), bootId: readBootId(), pidNamespace: readPidNamespace(), token };
  // A link appears with its whole content and fails where a lock stands (as O_EXCL would), so that nobody
  // ever reads a lock without its owner.
  const draft = path.join(path.dirname(lockPath), `.lock-${token}`);
  writeFileSync(draft, JSON.stringify(owner), { mode: 0o600, flag: 'wx' });
  let announced = false;
  try {
    const deadline = performance.now() + limitMs;
    while (!tryLink(draft, lockPath)) {
      const owner = readOwner(lockPath);
      if (owner && isOwnerDead(owner)) {
        breakLock(lockPath, draft, owner);
      } else {
        const holder = owner ? `process ${owner.pid}` : 'somebody who cannot be read in it';
        if (performance.now() > deadline) {
          throw new Error(
            `The lock "${lockPath}" was not free within ${limitMs / 1000} s; ${holder} holds it. ` +
              'If no run of lmcache-ci is alive, delete the file.',
          );
        }
        if (!announced) onWaiting?.(holder);
        announced = true;
      }
      await delay(retryMs, undefined, signal ? { signal } : {});
    }
    return token;
  } finally {
    rmSync(draft, { force: true });
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** null: no lock, or not one of ours. */
function readOwner(lockPath: string): LockOwner | null {
  try {
    return lockOwnerSchema.parse(JSON.parse(readFileSync(lockPath, 'utf8')));
  } catch {
    return null;
  }
}

function isOwnerDead(owner: LockOwner): boolean {
  if (owner.bootId !== readBootId()) return true;
  return owner.pidNamespace === readPidNamespace() && !isProcessAlive(owner);
}

/**
 * Removes the lock of one dead owner. Only the one process that claims this very locking removes it: without
 * that, a second breaker could remove the lock that a third process has just taken.
 */
function breakLock(lockPath: string, draft: string, stale: LockOwner): void {
  const claim = `${lockPath}.${stale.token}`;
  if (!tryLink(draft, claim)) {
    const claimedAt = statSync(claim, { throwIfNoEntry: false })?.mtimeMs;
    if (claimedAt !== undefined && Date.now() - claimedAt > breakingLimitMs) rmSync(claim, { force: true });
    return;
  }
  try {
    if (readOwner(lockPath)?.token === stale.token) rmSync(lockPath, { force: true });
  } finally {
    rmSync(claim, { force: true });
  }
}

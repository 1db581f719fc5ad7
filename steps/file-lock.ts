import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { identifySelf, isProcessAlive, readBootId } from '../engines/process-identity.js';

const ownerSchema = z.object({ pid: z.number(), startTime: z.number(), bootId: z.string() });
type Owner = z.infer<typeof ownerSchema>;

const retryMs = 100;
let attempts = 0;

export interface FileLockOptions {
  /** The lock is this file: it exists while the lock is held and names its owner. */
  readonly file: string;
  readonly signal: AbortSignal;
  /** Told once when somebody else holds it. */
  onWaiting?(ownerPid: number): void;
}

/**
 * Runs `work` while holding a lock between processes of one machine. The lock of an owner that is gone
 * (judged by boot, pid and process start time) is broken.
 * @throws the signal's reason when aborted while waiting.
 */
export async function withFileLock<Result>(options: FileLockOptions, work: () => Promise<Result>): Promise<Result> {
  await takeLock(options);
  try {
    return await work();
  } finally {
    await rm(options.file, { force: true });
  }
}

async function takeLock({ file, signal, onWaiting }: FileLockOptions): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  let announced = false;
  for (;;) {
    signal.throwIfAborted();
    if (await create(file)) {
      return;
    }
    const owner = await readOwner(file);
    if (owner === 'gone') {
      continue;
    }
    if (owner === null || !isAlive(owner)) {
      await breakStale(file);
      continue;
    }
    if (!announced) {
      announced = true;
      onWaiting?.(owner.pid);
    }
    await delay(retryMs, undefined, { signal });
  }
}

/** Written aside and linked: whoever sees the lock sees its owner, too. */
async function create(file: string): Promise<boolean> {
  const draft = uniqueName(file);
  const owner: Owner = { ...identifySelf(), bootId: readBootId() };
  await writeFile(draft, JSON.stringify(owner), { flag: 'wx' });
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) {
      return false;
    }
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function readOwner(file: string): Promise<Owner | 'gone' | null> {
  try {
    return ownerSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    return hasCode(error, 'ENOENT') ? 'gone' : null;
  }
}

/** Moves the stale lock aside first: of two that break it at once, only one moves the stale one. */
async function breakStale(file: string): Promise<void> {
  const aside = uniqueName(file);
  try {
    await rename(file, aside);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return;
    }
    throw error;
  }
  const moved = await readOwner(aside);
  if (moved !== null && moved !== 'gone' && isAlive(moved)) {
    // Somebody else broke the stale lock and took a fresh one in between: give it back.
    await link(aside, file).catch(() => undefined);
  }
  await rm(aside, { force: true });
}

function isAlive(owner: Owner): boolean {
  return owner.bootId === readBootId() && isProcessAlive(owner);
}

function uniqueName(file: string): string {
  attempts += 1;
  return `${file}.${process.pid}.${attempts}`;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits for work that has been told to stop, or should be done.
 * @returns false when it has not ended within `limitMs`: it is left behind, nobody waits for it any more
 */
export async function settlesWithin(work: Promise<unknown>, limitMs: number): Promise<boolean> {
  const limit = new AbortController();
  const ended = work.then(
    () => true,
    () => true,
  );
  const late = delay(limitMs, false, { signal: limit.signal }).catch(() => false);
  return Promise.race([ended, late]).finally(() => limit.abort());
}

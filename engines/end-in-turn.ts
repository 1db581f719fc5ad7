import { setTimeout as delay } from 'node:timers/promises';
import type { EngineProgram } from './launch-spec.js';

/** So long a cache server outlives engines that take longer to end, but for half of the grace period at most. */
const headStartMs = 1500;

/** Whether engines use this one while they run, and say that it is gone when it ends before them. */
export function isCacheServer(program: EngineProgram): boolean {
  return program === 'lmcache-server' || program === 'lmcache-module';
}

/** @returns those that are, and those that are not */
export function partition<Item>(
  items: readonly Item[],
  is: (item: Item) => boolean,
): readonly [readonly Item[], readonly Item[]] {
  return [items.filter(is), items.filter((item) => !is(item))];
}

/**
 * Ends engines before the cache servers they use: that its cache is gone would be an engine's last word, and mislead
 * who reads its log. Cache servers follow at once when all engines have ended, else after 1.5 s, with the rest of the
 * grace period: where an engine hangs nothing takes longer for it.
 * @param hurry lets cache servers follow at once
 */
export async function endInTurn<Engines, Servers>(
  turns: { engines(): Promise<Engines>; servers(graceMs: number): Promise<Servers> },
  graceMs: number,
  hurry?: AbortSignal,
): Promise<readonly [Engines, Servers]> {
  const startedAt = performance.now();
  const over = new AbortController();
  const signal = hurry === undefined ? over.signal : AbortSignal.any([over.signal, hurry]);
  const engines = turns.engines();
  await Promise.race([engines, delay(Math.min(headStartMs, graceMs / 2), undefined, { signal })]).catch(
    () => undefined,
  );
  over.abort();
  const leftMs = Math.max(0, graceMs - (performance.now() - startedAt));
  return Promise.all([engines, turns.servers(leftMs)]);
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { endInTurn } from '../../engines/end-in-turn.js';

/** Engines that end when the test says so; the grace period that cache servers are given. */
function situation() {
  let endEngines = () => {};
  const given: number[] = [];
  const engines = () => new Promise<string>((resolve) => (endEngines = () => resolve('engines')));
  const servers = async (graceMs: number) => {
    given.push(graceMs);
    return 'servers';
  };
  return { given, turns: { engines, servers }, endEngines: () => endEngines() };
}

describe('cache servers end', () => {
  it('as soon as all engines have ended, with the rest of the time', async () => {
    const { given, turns, endEngines } = situation();
    const ended = endInTurn(turns, 10_000);
    await nextTurn();
    expect(given).toEqual([]);
    endEngines();
    expect(await ended).toEqual(['engines', 'servers']);
    expect(given[0]).toBeGreaterThan(9000);
    expect(given[0]).toBeLessThanOrEqual(10_000);
  });

  it('after 1.5 s where an engine hangs, with no more time than that one has', async () => {
    const { given, turns, endEngines } = situation();
    const startedAt = performance.now();
    const ended = endInTurn(turns, 10_000);
    await vi.waitUntil(() => given.length > 0, { timeout: 5000, interval: 5 });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1490);
    expect(given[0]).toBeLessThanOrEqual(8510);
    endEngines();
    await ended;
  });

  it('at once where there is no time any more', async () => {
    const { given, turns, endEngines } = situation();
    const hurry = new AbortController();
    const ended = endInTurn(turns, 60_000, hurry.signal);
    hurry.abort();
    await vi.waitUntil(() => given.length > 0, { timeout: 1000, interval: 5 });
    endEngines();
    await ended;
  });
});

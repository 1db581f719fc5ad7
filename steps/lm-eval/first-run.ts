import { type Gate, judge } from '../../results-schema/verdicts.js';
import { clearLmcache } from '../../workloads/lmcache-api.js';
import { resetPrefixCache } from '../../workloads/server-api.js';
import type { CacheCounters } from '../cache-proof.js';
import type { StepContext } from '../step.js';
import type { TestTarget } from '../test-targets.js';

type Context = Pick<StepContext<unknown>, 'fleet' | 'run' | 'progress' | 'signal'>;

/**
 * Empties the caches that an earlier run of this step on the same engines has left, or the first run would be answered
 * from what it is to be compared with. Servers that others have started keep theirs. That it did not help shows in
 * `firstRunGate`.
 */
export async function emptyCaches({ fleet, run, progress, signal }: Context, vllm: TestTarget): Promise<void> {
  if (run.runtime === 'external') return;
  const lmcache = fleet.find('lmcache');
  const emptied = await Promise.all([
    resetPrefixCache(vllm, signal),
    ...(lmcache === null ? [] : [clearLmcache(lmcache.baseUrl, signal)]),
  ]);
  for (const cache of emptied) {
    if (!cache.ok) progress.log(`A cache was not emptied ahead of the first run: ${cache.message}`);
  }
}

/**
 * Answers of two runs that both came from a cache are equal however wrong they are.
 * @param rise counters over the first run
 * @param enough tokens of one chunk a prompt: less is what prompts happen to share
 */
export function firstRunGate(rise: CacheCounters, enough: number): Gate {
  const { externalHitTokens, gpuHitTokens } = rise;
  return {
    verdict: judge({
      name: 'first_run_hit_tokens',
      title: 'Tokens the first run took from caches',
      unit: 'tokens',
      measured: externalHitTokens === null ? null : externalHitTokens + (gpuHitTokens ?? 0),
      comparison: '<',
      threshold: enough,
    }),
    reason: 'unknown',
    cause: 'threshold',
    meaning:
      'The first run was itself answered from caches, so that equal answers prove nothing. Empty them ' +
      "(POST /reset_prefix_cache of vLLM, POST /cache/clear of LMCache, and LMCache's other tiers), or launch the engines anew.",
  };
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Verdict } from '../results-schema/step-result.js';
import { finiteOrNull, type Gate, judge, report } from '../results-schema/verdicts.js';
import { scrapeMetrics } from '../workloads/metrics.js';
import type { StepContext } from './step.js';

/** LMCache stores and finds whole chunks of this many tokens (its own default, which the launch keeps). */
export const chunkTokens = 256;

/** Counters of vLLM with its connector, in tokens. */
const vllmCounters = {
  /** Prompt tokens that were not in the engine's own prefix cache: LMCache was asked for them. */
  externalQueryTokens: 'vllm:external_prefix_cache_queries_total',
  externalHitTokens: 'vllm:external_prefix_cache_hits_total',
  gpuHitTokens: 'vllm:prefix_cache_hits_total',
} as const;

/** Counters of the LMCache server. */
const lmcacheCounters = {
  lookupRequestedTokens: 'lmcache_mp_lookup_requested_tokens_total',
  lookupHitTokens: 'lmcache_mp_lookup_hit_tokens_total',
  l1ReadChunks: 'lmcache_mp_l1_read_chunks_total',
  l1WriteChunks: 'lmcache_mp_l1_write_chunks_total',
  l1EvictedChunks: 'lmcache_mp_l1_evicted_chunks_total',
} as const;

export type CacheCounter = keyof typeof vllmCounters | keyof typeof lmcacheCounters;
/** null: the server has no such counter, or its value was not a number. */
export type CacheCounters = Readonly<Record<CacheCounter, number | null>>;

/** The counters of the servers under test. */
export interface CacheWatch {
  /** False where LMCache has no HTTP (LMCACHE_LAUNCH=module): the proof then comes from vLLM alone. */
  readonly lmcacheHasHttp: boolean;
  /** @throws ServerUnreachableError, ServerAnswerError */
  read(): Promise<CacheCounters>;
  /**
   * What was added since `before`. Counters follow the work they count by up to seconds, so it is asked again
   * until `enough`, but at most for 3 s.
   */
  riseSince(before: CacheCounters, enough: (rise: CacheCounters) => boolean): Promise<CacheCounters>;
}

const settleLimitMs = 3000;
const settlePauseMs = 100;

type WatchContext = Pick<StepContext<unknown>, 'fleet' | 'signal'>;

export function watchCaches({ fleet, signal }: WatchContext): CacheWatch {
  const vllm = fleet.require('vllm');
  const lmcache = fleet.find('lmcache');
  const read = async (): Promise<CacheCounters> => {
    const [engine, server] = await Promise.all([
      scrapeMetrics(vllm.baseUrl, signal),
      lmcache === null ? null : scrapeMetrics(lmcache.baseUrl, signal),
    ]);
    const ofVllm = (name: string) => (engine.has(name) ? finiteOrNull(engine.sum(name)) : null);
    // LMCache names a counter only once it has counted something.
    const ofServer = (name: string) => (server === null ? null : server.has(name) ? finiteOrNull(server.sum(name)) : 0);
    return {
      externalQueryTokens: ofVllm(vllmCounters.externalQueryTokens),
      externalHitTokens: ofVllm(vllmCounters.externalHitTokens),
      gpuHitTokens: ofVllm(vllmCounters.gpuHitTokens),
      lookupRequestedTokens: ofServer(lmcacheCounters.lookupRequestedTokens),
      lookupHitTokens: ofServer(lmcacheCounters.lookupHitTokens),
      l1ReadChunks: ofServer(lmcacheCounters.l1ReadChunks),
      l1WriteChunks: ofServer(lmcacheCounters.l1WriteChunks),
      l1EvictedChunks: ofServer(lmcacheCounters.l1EvictedChunks),
    };
  };
  return {
    lmcacheHasHttp: lmcache !== null,
    read,
    riseSince: async (before, enough) => {
      const deadline = performance.now() + settleLimitMs;
      for (;;) {
        const rise = subtract(await read(), before);
        if (enough(rise) || performance.now() >= deadline) {
          return rise;
        }
        await delay(settlePauseMs, undefined, { signal });
      }
    },
  };
}

/** A gate that fails the step as `cache-not-exercised`. */
export function proofGate(
  proof: {
    readonly name: string;
    readonly title: string;
    readonly unit: 'tokens' | 'chunks';
    readonly measured: number | null;
    readonly atLeast: number;
    readonly note?: string;
  },
  meaning: string,
  evidence: readonly string[] = [],
): Gate {
  const { name, title, unit, measured, atLeast, note } = proof;
  return {
    verdict: judge({
      name,
      title,
      unit,
      measured,
      comparison: '>=',
      threshold: atLeast,
      ...(note === undefined ? {} : { note }),
    }),
    reason: 'cache-not-exercised',
    cause: 'threshold',
    meaning,
    evidence,
  };
}

/**
 * Why a healthy cache may have found nothing: what is read again in the same order from an L1 that is a little too small
 * has always just been evicted. Empty where nothing was.
 */
export function describeEviction(rise: CacheCounters, fewer: string): string {
  const evicted = rise.l1EvictedChunks ?? 0;
  if (evicted === 0) return '';
  return ` LMCache evicted ${evicted} chunks meanwhile: above 80 % of its size L1 makes room. Raise L1_SIZE_GB, or lower ${fewer}.`;
}

/** Hits of the engine's own prefix cache: shown, not forbidden. */
export function reportGpuHits(rise: CacheCounters): Verdict {
  return report({
    name: 'gpu_hit_tokens',
    title: "Hits of the engine's own prefix cache",
    unit: 'tokens',
    measured: rise.gpuHitTokens,
  });
}

function subtract(after: CacheCounters, before: CacheCounters): CacheCounters {
  const rise = (counter: CacheCounter): number | null => {
    const [now, then] = [after[counter], before[counter]];
    return now === null || then === null ? null : now - then;
  };
  return {
    externalQueryTokens: rise('externalQueryTokens'),
    externalHitTokens: rise('externalHitTokens'),
    gpuHitTokens: rise('gpuHitTokens'),
    lookupRequestedTokens: rise('lookupRequestedTokens'),
    lookupHitTokens: rise('lookupHitTokens'),
    l1ReadChunks: rise('l1ReadChunks'),
    l1WriteChunks: rise('l1WriteChunks'),
    l1EvictedChunks: rise('l1EvictedChunks'),
  };
}

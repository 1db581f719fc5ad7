import type { CacheCounters } from '../../steps/cache-proof.js';

/** Counters of servers that have done nothing. */
export const noCounts: CacheCounters = {
  externalQueryTokens: 0,
  externalHitTokens: 0,
  gpuHitTokens: 0,
  lookupRequestedTokens: 0,
  lookupHitTokens: 0,
  l1ReadChunks: 0,
  l1WriteChunks: 0,
  l1EvictedChunks: 0,
};

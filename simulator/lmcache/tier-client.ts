import type { CacheTier } from './cache-tier.js';

/** The cache tier as the connector sees it; a tier that does not answer holds nothing. */
export interface TierClient {
  /** Tokens a chunk has; it can change when another server takes over. */
  readonly chunkTokens: number;
  /** Chunks at the start of the prompt that the tier holds. */
  lookup(hashes: readonly string[]): Promise<number>;
  /** Chunks of [fromChunk, toChunk) that are there, and simulated seconds until the copy can begin. */
  load(
    hashes: readonly string[],
    fromChunk: number,
    toChunk: number,
  ): Promise<{ readonly chunks: number; readonly l2Seconds: number }>;
  /** Tells how long the copy of so many chunks took, in simulated seconds. */
  loaded(chunks: number, seconds: number): void;
  store(hashes: readonly string[], fromChunk: number, seconds: number): void;
  close(): Promise<void>;
}

/** A tier inside the engine's own process. */
export function inProcessTier(tier: CacheTier, model: string, kvBytesPerToken: number): TierClient {
  const { chunkTokens } = tier.options;
  const run = (hashes: readonly string[]) => ({ model, hashes, chunkBytes: kvBytesPerToken * chunkTokens });
  return {
    chunkTokens,
    lookup: async (hashes) => tier.lookup(run(hashes)),
    load: async (hashes, fromChunk, toChunk) => tier.load(run(hashes), fromChunk, toChunk),
    loaded: () => {},
    store: (hashes, fromChunk) => {
      tier.store(run(hashes), fromChunk);
    },
    close: async () => {},
  };
}

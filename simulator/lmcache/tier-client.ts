import type { CacheTier } from './cache-tier.js';

export interface TierLoad {
  /** Chunks that are there, from the first one asked for on. */
  readonly chunks: number;
  /** Simulated seconds until the copy can begin. */
  readonly l2Seconds: number;
  /** Nobody answered, after a lookup that had been answered; false if left out. */
  readonly isLost?: boolean;
}

/** The cache tier as the connector sees it; a tier that does not answer holds nothing. */
export interface TierClient {
  /** Tokens a chunk has; it can change when another server takes over. */
  readonly chunkTokens: number;
  /** Chunks at the start of the prompt that the tier holds. */
  lookup(hashes: readonly string[]): Promise<number>;
  /** Asks for chunks [fromChunk, toChunk). */
  load(hashes: readonly string[], fromChunk: number, toChunk: number): Promise<TierLoad>;
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

import type { ChunkFacts } from './chunk-paths.js';

/** 40 layers of 8 KV heads of 128 values in 16 bits, keys and values: Qwen3-14B. */
export const DEFAULT_KV_BYTES_PER_TOKEN = 163_840;
const GIB = 2 ** 30;
const SMALLEST_SHARE = 1 / 4096;

/**
 * Sizes on which a curve shows its whole shape: evenly spaced in their logarithm from a 4096th of what the trace holds,
 * but no less than its longest prompt, up to all of it.
 */
export function defaultSizes(facts: ChunkFacts, count: number): readonly number[] {
  const largest = Math.max(1, facts.distinctChunks);
  const smallest = Math.min(largest, Math.max(1, facts.longestPath, largest * SMALLEST_SHARE));
  return Array.from({ length: count }, (_, index) => {
    const share = count === 1 ? 1 : index / (count - 1);
    return Math.round(smallest * (largest / smallest) ** share);
  });
}

/** A cache size as people write it, in chunks; null: not one. */
export type SizeUnit = 'GB' | 'chunks' | 'tokens' | '%';

export interface CacheSize {
  readonly amount: number;
  readonly unit: SizeUnit;
}

/** What `parseCacheSize` takes, for error messages. */
export const cacheSizeForms =
  'sizes above 0 such as 64 or 64GB (GiB of KV cache), 5000chunks, 1000000tokens, 10% (of all chunks)';

/** @returns null where the text is no size */
export function parseCacheSize(text: string): CacheSize | null {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*(gb|gib|chunks?|tokens?|%|)$/i.exec(text.trim()) ?? [];
  const amount = Number(digits);
  if (digits === '' || !(amount > 0)) {
    return null;
  }
  const letter = unit.toLowerCase().charAt(0);
  return { amount, unit: letter === 'c' ? 'chunks' : letter === 't' ? 'tokens' : letter === '%' ? '%' : 'GB' };
}

/** At least 1 chunk. As LMCache's `max_local_cpu_size`, a GB is 2^30 bytes. */
export function sizeInChunks(size: CacheSize, facts: ChunkFacts, chunkTokens: number, kvBytesPerToken: number): number {
  const chunks = {
    GB: (size.amount * GIB) / (chunkTokens * kvBytesPerToken),
    chunks: size.amount,
    tokens: size.amount / chunkTokens,
    '%': (size.amount / 100) * facts.distinctChunks,
  }[size.unit];
  return Math.max(1, Math.floor(chunks));
}

/** GiB of KV cache. */
export function chunksInGb(chunks: number, chunkTokens: number, kvBytesPerToken: number): number {
  return (chunks * chunkTokens * kvBytesPerToken) / GIB;
}

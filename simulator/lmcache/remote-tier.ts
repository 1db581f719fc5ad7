import type { SimulatedClock } from '../contracts.js';
import type { TierClient } from './tier-client.js';

export interface RemoteTiming {
  readonly clock: SimulatedClock;
  /** Simulated seconds a wall second. */
  readonly speed: () => number;
  /** Bytes of one chunk's KV before it is encoded. */
  readonly rawChunkBytes: number;
  readonly serde: {
    readonly compression: number;
    readonly encodeBytesPerSecond: number;
    readonly decodeBytesPerSecond: number;
  };
  readonly wire: { readonly bytesPerSecond: number; readonly requestSeconds: number };
  /** A chunk is decoded while the next one is fetched. */
  readonly pipelined: boolean;
}

/**
 * Puts the times of wire and encoding in front of a store that only keeps books. Fetches wait for each other, and so
 * do stores; a chunk can be found once its store has ended.
 */
export function remoteTier(inner: TierClient, timing: RemoteTiming): TierClient {
  const { clock, rawChunkBytes, serde, wire } = timing;
  const wireSeconds = wire.requestSeconds + rawChunkBytes / serde.compression / wire.bytesPerSecond;
  const decodeSeconds = rawChunkBytes / serde.decodeBytesPerSecond;
  const encodeSeconds = rawChunkBytes / serde.encodeBytesPerSecond;
  let fetchesEnd = 0;
  let storesEnd = 0;
  const stores = new Set<NodeJS.Timeout>();
  const together = (chunks: number, first: number, second: number): number => {
    if (chunks === 0) return 0;
    if (!timing.pipelined) return chunks * (first + second);
    return chunks * Math.max(first, second) + Math.min(first, second);
  };
  return {
    get chunkTokens() {
      return inner.chunkTokens;
    },
    lookup: (hashes) => inner.lookup(hashes),
    async load(hashes, fromChunk, toChunk) {
      const { chunks, l2Seconds, isLost = false } = await inner.load(hashes, fromChunk, toChunk);
      const now = clock.now();
      const start = Math.max(now + l2Seconds, fetchesEnd);
      fetchesEnd = start + together(chunks, wireSeconds, decodeSeconds);
      return { chunks, l2Seconds: chunks === 0 ? 0 : fetchesEnd - now, isLost };
    },
    loaded: () => {},
    store(hashes, fromChunk, seconds) {
      const now = clock.now();
      const start = Math.max(now + seconds, storesEnd);
      storesEnd = start + together(hashes.length - fromChunk, encodeSeconds, wireSeconds);
      const timer = setTimeout(
        () => {
          stores.delete(timer);
          inner.store(hashes, fromChunk, seconds);
        },
        ((storesEnd - now) * 1000) / timing.speed(),
      );
      stores.add(timer);
    },
    async close() {
      for (const timer of stores) clearTimeout(timer);
      stores.clear();
      await inner.close();
    },
  };
}

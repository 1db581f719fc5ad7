import type { TierClient } from './tier-client.js';

/**
 * An engine's own tiers with a remote store behind them. Everything is stored in both; what only the remote has is
 * kept locally once it was loaded.
 * @param isDisabled asked each time: nothing is stored or found while it says so.
 */
export function layered(
  chunkTokens: number,
  local: TierClient | null,
  remote: TierClient | null,
  isDisabled: () => boolean,
): TierClient {
  const lookup = async (hashes: readonly string[]): Promise<number> => {
    if (isDisabled()) return 0;
    const near = (await local?.lookup(hashes)) ?? 0;
    if (near === hashes.length || remote === null) return near;
    return Math.max(near, await remote.lookup(hashes));
  };
  return {
    chunkTokens,
    lookup,
    async load(hashes, fromChunk, toChunk) {
      if (isDisabled()) return { chunks: 0, l2Seconds: 0 };
      const near = (await local?.load(hashes, fromChunk, toChunk)) ?? { chunks: 0, l2Seconds: 0 };
      const middle = fromChunk + near.chunks;
      if (middle >= toChunk || remote === null) return near;
      const far = await remote.load(hashes, middle, toChunk);
      if (far.chunks > 0) local?.store(hashes.slice(0, middle + far.chunks), middle, 0);
      return { ...far, chunks: near.chunks + far.chunks, l2Seconds: Math.max(near.l2Seconds, far.l2Seconds) };
    },
    loaded: (chunks, seconds) => local?.loaded(chunks, seconds),
    store(hashes, fromChunk, seconds) {
      if (isDisabled()) return;
      local?.store(hashes, fromChunk, seconds);
      remote?.store(hashes, fromChunk, seconds);
    },
    close: async () => {
      await local?.close();
      await remote?.close();
    },
  };
}

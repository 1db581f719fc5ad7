import { forEachRequest, type PolicyHits, type PolicyRun } from './policy.js';

/**
 * FIFO: a chunk leaves when as many were stored after it as the cache holds, used or not. A request looks up its
 * chunks first (a hit ends at the first one that is missing), then stores those that are missing, in order. When a
 * chunk was stored tells whether it is still there, so that nothing has to be evicted: 4 bytes a chunk and size.
 */
export async function simulateFifo(run: PolicyRun): Promise<PolicyHits> {
  const { idSpace } = run.paths;
  const together = Math.max(1, Math.floor(run.passBytes / (idSpace * 4)));
  const hits: number[] = [];
  let passes = 0;
  for (let first = 0; first < run.sizes.length; first += together) {
    const caches = run.sizes.slice(first, first + together).map((size) => new FifoCache(size, idSpace));
    const { paths } = run;
    await forEachRequest(run, () => {
      for (const cache of caches) {
        cache.use(paths.path, paths.lookups, paths.length);
      }
    });
    passes += 1;
    hits.push(...caches.map((cache) => cache.hits));
  }
  return { policy: 'fifo', hits, passes };
}

class FifoCache {
  hits = 0;
  readonly #size: number;
  /** How many had been stored when this chunk was, itself included; 0: never. */
  readonly #storedAt: Uint32Array;
  #stored = 0;

  constructor(size: number, idSpace: number) {
    this.#size = size;
    this.#storedAt = new Uint32Array(idSpace);
  }

  use(path: Uint32Array, lookups: number, length: number): void {
    const storedAt = this.#storedAt;
    const size = this.#size;
    let stored = this.#stored;
    let found = 0;
    while (found < lookups) {
      const at = storedAt[path[found] ?? 0] ?? 0;
      if (at === 0 || stored - at >= size) {
        break;
      }
      found += 1;
    }
    this.hits += found;
    for (let position = 0; position < length; position += 1) {
      const chunk = path[position] ?? 0;
      const at = storedAt[chunk] ?? 0;
      if (at === 0 || stored - at >= size) {
        stored += 1;
        storedAt[chunk] = stored;
      }
    }
    this.#stored = stored;
  }
}

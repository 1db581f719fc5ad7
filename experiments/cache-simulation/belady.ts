import { NextUseSpill } from './next-use-spill.js';
import type { PolicyHits, PolicyRun } from './policy.js';

/**
 * The optimum (Belady, 1966): what is looked up latest leaves first, what never is is not kept at all. With chunks of
 * one size nothing can hit more often, and it keeps the beginnings of paths: who looks up a chunk looks up everything
 * before it. When chunks are looked up next comes from disk.
 *
 * Chunks that are kept need no names: those whose next lookup is one request are the beginning of its path, so that
 * their number is all there is to know: 4 bytes a request and size.
 */
export async function simulateBelady(run: PolicyRun, scratch: string): Promise<PolicyHits> {
  const { paths, sizes, signal } = run;
  const spill = await NextUseSpill.write(paths, scratch, signal);
  try {
    const together = Math.max(1, Math.floor(run.passBytes / (paths.rowCount * 4.2)));
    const hits: number[] = [];
    let passes = 1;
    for (let first = 0; first < sizes.length; first += together) {
      const caches = sizes.slice(first, first + together).map((size) => new OptimalCache(size, paths.rowCount));
      for (let group = 0; group < paths.groupCount; group += 1) {
        signal?.throwIfAborted();
        await paths.load(group);
        await spill.load(group);
        handleGroup(run, spill, caches);
        run.onProgress?.(paths.rows);
      }
      passes += 1;
      hits.push(...caches.map((cache) => cache.hits));
    }
    return { policy: 'belady', hits, passes };
  } finally {
    await spill.remove();
  }
}

function handleGroup({ paths }: PolicyRun, spill: NextUseSpill, caches: readonly OptimalCache[]): void {
  const { firstRow, rows } = paths;
  for (let row = 0; row < rows; row += 1) {
    if (!paths.select(row)) {
      continue;
    }
    for (const cache of caches) {
      cache.lookUp(firstRow + row);
    }
    for (let stretches = spill.next(); stretches > 0; stretches -= 1) {
      const next = spill.next();
      const count = spill.next();
      for (const cache of caches) {
        cache.keep(next, count);
      }
    }
    for (const cache of caches) {
      cache.evict();
    }
  }
}

class OptimalCache {
  hits = 0;
  readonly #size: number;
  /** Chunks kept for each request to come. */
  readonly #kept: Uint32Array;
  readonly #keptFor: NumberSet;
  #used = 0;

  constructor(size: number, requests: number) {
    this.#size = size;
    this.#kept = new Uint32Array(requests);
    this.#keptFor = new NumberSet(requests);
  }

  lookUp(request: number): void {
    const kept = this.#kept[request] ?? 0;
    if (kept > 0) {
      this.hits += kept;
      this.#used -= kept;
      this.#kept[request] = 0;
      this.#keptFor.remove(request);
    }
  }

  keep(request: number, count: number): void {
    const kept = this.#kept[request] ?? 0;
    if (kept === 0) {
      this.#keptFor.add(request);
    }
    this.#kept[request] = kept + count;
    this.#used += count;
  }

  evict(): void {
    while (this.#used > this.#size) {
      const latest = this.#keptFor.largest();
      const kept = this.#kept[latest] ?? 0;
      const count = Math.min(kept, this.#used - this.#size);
      this.#used -= count;
      this.#kept[latest] = kept - count;
      if (kept === count) {
        this.#keptFor.remove(latest);
      }
    }
  }
}

/** Whole numbers below a limit, the largest one at hand: bits, and bits for each 32 of them, up to one word. */
class NumberSet {
  readonly #levels: readonly Uint32Array[];

  constructor(limit: number) {
    const levels: Uint32Array[] = [];
    let words = limit;
    do {
      words = Math.ceil(words / 32);
      levels.push(new Uint32Array(words));
    } while (words > 1);
    this.#levels = levels;
  }

  add(number: number): void {
    let at = number;
    for (const words of this.#levels) {
      const bit = 1 << (at & 31);
      at >>>= 5;
      const before = words[at] ?? 0;
      words[at] = before | bit;
      if (before !== 0) {
        return;
      }
    }
  }

  remove(number: number): void {
    let at = number;
    for (const words of this.#levels) {
      const bit = 1 << (at & 31);
      at >>>= 5;
      const after = (words[at] ?? 0) & ~bit;
      words[at] = after;
      if (after !== 0) {
        return;
      }
    }
  }

  /** Only of a set that is not empty. */
  largest(): number {
    let at = 0;
    for (let level = this.#levels.length - 1; level >= 0; level -= 1) {
      at = at * 32 + 31 - Math.clz32(this.#levels[level]?.[at] ?? 0);
    }
    return at;
  }
}

import {
  type ConversationAwareOptions,
  defaultConversationAware,
  worthUntil,
} from '../../simulator/lmcache/conversation-worth.js';
import { forEachRequest, type PolicyHits, type PolicyRun } from './policy.js';

const NOBODY = 0xffff_ffff;

/**
 * Conversation-aware eviction as the simulator's tiers have it (simulator/lmcache/conversation-policy.ts): chunks carry
 * the worth of the request that used them last, or a higher one that they had before; the least worth leaves first, at
 * equal worth what was used earlier, of one request's chunks the last of its path. So nothing leaves before what depends
 * on it. A conversation of which nothing is left counts as a new one. One pass a size.
 */
export async function simulateConversationAware(
  run: PolicyRun,
  options: ConversationAwareOptions = defaultConversationAware,
): Promise<PolicyHits> {
  const { paths } = run;
  const cache = new WorthCache(paths.rowCount, paths.idSpace);
  const lastUsedAt = new Float64Array(paths.facts.conversations);
  const hits: number[] = [];
  for (const size of run.sizes) {
    cache.reset(size);
    lastUsedAt.fill(Number.NaN);
    await forEachRequest(run, (request, row) => {
      const time = paths.timeOf(row);
      const conversation = paths.conversationOf(row);
      const before = lastUsedAt[conversation] ?? Number.NaN;
      const present = cache.present(paths.path, paths.length);
      const worth = worthUntil(time, present === 0 || Number.isNaN(before) ? null : time - before, options);
      lastUsedAt[conversation] = time;
      cache.use(request, worth, paths.path, present, paths.lookups, paths.length);
    });
    hits.push(cache.hits);
  }
  return { policy: 'conversation', hits, passes: run.sizes.length };
}

/**
 * A cache whose chunks are held by requests: each holds a stretch [from, to) of its path, which shrinks at the front
 * where later requests take chunks over, and at the end where chunks are evicted.
 */
class WorthCache {
  hits = 0;
  readonly #holders: Uint32Array;
  readonly #from: Uint32Array;
  readonly #to: Uint32Array;
  readonly #worth: Float64Array;
  readonly #heap: WorthHeap;
  #size = 0;
  #used = 0;

  constructor(requests: number, idSpace: number) {
    this.#holders = new Uint32Array(idSpace);
    this.#from = new Uint32Array(requests);
    this.#to = new Uint32Array(requests);
    this.#worth = new Float64Array(requests);
    this.#heap = new WorthHeap(this.#worth);
  }

  reset(size: number): void {
    this.hits = 0;
    this.#size = size;
    this.#used = 0;
    this.#holders.fill(NOBODY);
    this.#from.fill(0);
    this.#to.fill(0);
    this.#heap.clear();
  }

  /** Chunks at the beginning of the path that are there. */
  present(path: Uint32Array, length: number): number {
    for (let position = 0; position < length; position += 1) {
      const holder = this.#holders[path[position] ?? 0] ?? NOBODY;
      if (holder === NOBODY || position < (this.#from[holder] ?? 0) || position >= (this.#to[holder] ?? 0)) {
        return position;
      }
    }
    return length;
  }

  use(request: number, worth: number, path: Uint32Array, present: number, lookups: number, length: number): void {
    const holders = this.#holders;
    this.hits += Math.min(present, lookups);
    /** Up to here chunks are worth more than this request makes them. */
    let takeFrom = 0;
    while (takeFrom < present && (this.#worth[holders[path[takeFrom] ?? 0] ?? 0] ?? 0) > worth) {
      takeFrom += 1;
    }
    for (let position = takeFrom; position < present; position += 1) {
      this.#from[holders[path[position] ?? 0] ?? 0] = position + 1;
    }
    if (takeFrom === length) {
      return;
    }
    for (let position = takeFrom; position < length; position += 1) {
      holders[path[position] ?? 0] = request;
    }
    this.#from[request] = takeFrom;
    this.#to[request] = length;
    this.#worth[request] = worth;
    this.#heap.push(request);
    this.#used += length - present;
    this.#evict();
  }

  #evict(): void {
    while (this.#used > this.#size) {
      const holder = this.#heap.top();
      const from = this.#from[holder] ?? 0;
      const to = this.#to[holder] ?? 0;
      const count = Math.min(to - from, this.#used - this.#size);
      this.#used -= count;
      this.#to[holder] = to - count;
      if (to - count <= from) {
        this.#heap.pop();
      }
    }
  }
}

/** Requests by worth, the least first; equal worth by number. */
class WorthHeap {
  readonly #worth: Float64Array;
  #items = new Uint32Array(1024);
  #length = 0;

  constructor(worth: Float64Array) {
    this.#worth = worth;
  }

  clear(): void {
    this.#length = 0;
  }

  top(): number {
    return this.#items[0] ?? 0;
  }

  push(request: number): void {
    if (this.#length === this.#items.length) {
      const larger = new Uint32Array(this.#items.length * 2);
      larger.set(this.#items);
      this.#items = larger;
    }
    const items = this.#items;
    let child = this.#length;
    this.#length += 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const above = items[parent] ?? 0;
      if (!this.#isBefore(request, above)) {
        break;
      }
      items[child] = above;
      child = parent;
    }
    items[child] = request;
  }

  pop(): void {
    this.#length -= 1;
    const items = this.#items;
    const length = this.#length;
    const last = items[length] ?? 0;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= length) {
        break;
      }
      if (child + 1 < length && this.#isBefore(items[child + 1] ?? 0, items[child] ?? 0)) {
        child += 1;
      }
      const below = items[child] ?? 0;
      if (!this.#isBefore(below, last)) {
        break;
      }
      items[parent] = below;
      parent = child;
    }
    items[parent] = last;
  }

  #isBefore(a: number, b: number): boolean {
    const left = this.#worth[a] ?? 0;
    const right = this.#worth[b] ?? 0;
    return left < right || (left === right && a < b);
  }
}

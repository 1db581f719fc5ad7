import { forEachRequest, type PolicyHits, type PolicyRun } from './policy.js';

const NEVER = 0xffff_ffff;

/**
 * LRU for all sizes in one pass (Mattson et al., 1970): a chunk hits in every cache that is at least as large as its
 * depth in the stack of all chunks by last use. A request uses its chunks at once, the last one of its path first, so
 * that the ends of paths leave before their beginnings: so LMCache touches what a request hit.
 *
 * Of the chunks that one request was the last to use, those used again since are always the first ones of its path.
 * So depths need no tree over chunks: how many each request still holds, in a Fenwick tree over requests, is enough.
 * A stretch of a path that one request holds is one step, however long it is.
 */
export async function simulateLru(run: PolicyRun): Promise<PolicyHits> {
  const { paths } = run;
  const stack = new LastUses(paths.rowCount, paths.idSpace);
  const curve = new DepthCurve(run.sizes);
  await forEachRequest(run, (request) => {
    const { path, length, lookups } = paths;
    let position = 0;
    while (position < length) {
      const holder = stack.lastUser(path[position] ?? 0);
      if (holder === NEVER) {
        break;
      }
      let end = position + 1;
      while (end < length && stack.lastUser(path[end] ?? 0) === holder) {
        end += 1;
      }
      if (position < lookups) {
        // What comes before on the path was used later, and has been taken out already.
        curve.add(stack.usedAfter(holder) + position + 1, Math.min(end, lookups) - position);
      }
      stack.take(holder, end - position);
      position = end;
    }
    stack.use(request, path, length);
  });
  return { policy: 'lru', hits: curve.hits(), passes: 1 };
}

/** Which request used each chunk last, and how many chunks were used last by later requests. */
class LastUses {
  readonly #lastUsers: Uint32Array;
  readonly #tree: Int32Array;
  readonly #size: number;
  #total = 0;

  constructor(requests: number, idSpace: number) {
    this.#size = requests;
    this.#lastUsers = new Uint32Array(idSpace).fill(NEVER);
    this.#tree = new Int32Array(requests + 1);
  }

  lastUser(chunk: number): number {
    return this.#lastUsers[chunk] ?? NEVER;
  }

  /** Distinct chunks used after this request. */
  usedAfter(request: number): number {
    const tree = this.#tree;
    let upTo = 0;
    for (let node = request + 1; node > 0; node &= node - 1) {
      upTo += tree[node] ?? 0;
    }
    return this.#total - upTo;
  }

  /** The first `count` of the chunks that this request was the last to use are used again. */
  take(request: number, count: number): void {
    this.#add(request, -count);
  }

  use(request: number, path: Uint32Array, length: number): void {
    const lastUsers = this.#lastUsers;
    for (let position = 0; position < length; position += 1) {
      lastUsers[path[position] ?? 0] = request;
    }
    this.#add(request, length);
  }

  #add(request: number, count: number): void {
    const tree = this.#tree;
    const size = this.#size;
    this.#total += count;
    for (let node = request + 1; node <= size; node += node & -node) {
      tree[node] = (tree[node] ?? 0) + count;
    }
  }
}

/** Adds up hits for each size out of stretches of rising depths. */
class DepthCurve {
  readonly #sizes: readonly number[];
  readonly #part: Float64Array;
  /** Hits from this size on. */
  readonly #fromHere: Float64Array;

  constructor(sizes: readonly number[]) {
    this.#sizes = sizes;
    this.#part = new Float64Array(sizes.length);
    this.#fromHere = new Float64Array(sizes.length + 1);
  }

  /** Chunks at depths `depth`, `depth + 1`, ...: `count` of them. */
  add(depth: number, count: number): void {
    const sizes = this.#sizes;
    let low = 0;
    let high = sizes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sizes[middle] ?? 0) < depth) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const deepest = depth + count - 1;
    for (; low < sizes.length; low += 1) {
      const size = sizes[low] ?? 0;
      if (size >= deepest) {
        break;
      }
      this.#part[low] = (this.#part[low] ?? 0) + size - depth + 1;
    }
    this.#fromHere[low] = (this.#fromHere[low] ?? 0) + count;
  }

  hits(): number[] {
    let whole = 0;
    return this.#sizes.map((_, index) => {
      whole += this.#fromHere[index] ?? 0;
      return whole + (this.#part[index] ?? 0);
    });
  }
}

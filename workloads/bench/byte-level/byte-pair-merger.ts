import type { PairRanks } from './pair-ranks.js';

/** A key is `rank * POSITIONS + position`: the lowest rank first, of equal ones the leftmost; exact below 2^53. */
const POSITIONS = 2 ** 26;
const DEAD = -1;

/** The merges of a byte-level BPE: again and again the adjacent pair of the lowest rank, the leftmost of several. */
export class BytePairMerger {
  readonly #idOfByte: Int32Array;
  readonly #ranks: PairRanks;
  readonly #mergedId: Int32Array;
  /** A doubly linked list over positions: id (DEAD: merged away), next and previous position. */
  #ids = new Int32Array(64);
  #next = new Int32Array(64);
  #previous = new Int32Array(64);
  /** A binary heap of keys. */
  #heap = new Float64Array(192);
  #size = 0;

  /**
   * @param idOfByte 256 ids
   * @param mergedId by rank, the id that the merge gives
   */
  constructor(idOfByte: Int32Array, ranks: PairRanks, mergedId: Int32Array) {
    this.#idOfByte = idOfByte;
    this.#ranks = ranks;
    this.#mergedId = mergedId;
  }

  /** Appends the ids of one piece of text. @param length at least 1 */
  encode(bytes: Uint8Array, length: number, out: number[]): void {
    this.#load(bytes, length);
    const ids = this.#ids;
    const next = this.#next;
    const previous = this.#previous;
    while (this.#size > 0) {
      const key = this.#pop();
      const rank = Math.floor(key / POSITIONS);
      const left = key - rank * POSITIONS;
      const right = next[left] ?? -1;
      const isCurrent =
        ids[left] !== DEAD && right >= 0 && this.#ranks.get(ids[left] ?? DEAD, ids[right] ?? DEAD) === rank;
      if (isCurrent) {
        const after = next[right] ?? -1;
        const before = previous[left] ?? -1;
        ids[left] = this.#mergedId[rank] ?? DEAD;
        ids[right] = DEAD;
        next[left] = after;
        if (after >= 0) {
          previous[after] = left;
          this.#offer(left);
        }
        if (before >= 0) {
          this.#offer(before);
        }
      }
    }
    for (let position = 0; position >= 0; position = next[position] ?? -1) {
      out.push(ids[position] ?? 0);
    }
  }

  #load(bytes: Uint8Array, length: number): void {
    if (length > this.#ids.length) {
      if (length > POSITIONS) {
        throw new RangeError(`A piece of ${length} bytes is too long to be tokenized.`);
      }
      this.#ids = new Int32Array(length);
      this.#next = new Int32Array(length);
      this.#previous = new Int32Array(length);
      // Each merge takes one pair away and offers at most two.
      this.#heap = new Float64Array(length * 3);
    }
    this.#size = 0;
    for (let position = 0; position < length; position += 1) {
      this.#ids[position] = this.#idOfByte[bytes[position] ?? 0] ?? 0;
      this.#next[position] = position + 1 < length ? position + 1 : -1;
      this.#previous[position] = position - 1;
    }
    for (let position = 0; position + 1 < length; position += 1) {
      this.#offer(position);
    }
  }

  /** The pair that begins at a position waits for its turn. */
  #offer(position: number): void {
    const rank = this.#ranks.get(this.#ids[position] ?? 0, this.#ids[this.#next[position] ?? 0] ?? 0);
    if (rank >= 0) {
      this.#push(rank * POSITIONS + position);
    }
  }

  #push(key: number): void {
    const heap = this.#heap;
    let slot = this.#size;
    this.#size += 1;
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      const other = heap[parent] ?? 0;
      if (other <= key) {
        break;
      }
      heap[slot] = other;
      slot = parent;
    }
    heap[slot] = key;
  }

  #pop(): number {
    const heap = this.#heap;
    const lowest = heap[0] ?? 0;
    this.#size -= 1;
    const size = this.#size;
    const moved = heap[size] ?? 0;
    let slot = 0;
    for (;;) {
      let child = slot * 2 + 1;
      if (child >= size) {
        break;
      }
      if (child + 1 < size && (heap[child + 1] ?? 0) < (heap[child] ?? 0)) {
        child += 1;
      }
      const key = heap[child] ?? 0;
      if (key >= moved) {
        break;
      }
      heap[slot] = key;
      slot = child;
    }
    heap[slot] = moved;
    return lowest;
  }
}

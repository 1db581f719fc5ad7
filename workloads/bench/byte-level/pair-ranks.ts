const PRIME = 0x9e3779b1;

/** From a pair of token ids to the rank of their merge, in flat arrays: a map of pairs would allocate at each look. */
export class PairRanks {
  readonly #mask: number;
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #rank: Int32Array;

  /** @param count pairs that will be set at most */
  constructor(count: number) {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(1, count) * 2));
    this.#mask = slots - 1;
    this.#left = new Int32Array(slots).fill(-1);
    this.#right = new Int32Array(slots);
    this.#rank = new Int32Array(slots);
  }

  /** The last one counts where a pair is set twice. */
  set(left: number, right: number, rank: number): void {
    const slot = this.#slot(left, right);
    this.#left[slot] = left;
    this.#right[slot] = right;
    this.#rank[slot] = rank;
  }

  /** -1: they are never merged. */
  get(left: number, right: number): number {
    const slot = this.#slot(left, right);
    return this.#left[slot] === left ? (this.#rank[slot] ?? -1) : -1;
  }

  /** Where the pair stands, or would. */
  #slot(left: number, right: number): number {
    const mixed = Math.imul(Math.imul(left, PRIME) ^ right, PRIME);
    let slot = (mixed ^ (mixed >>> 15)) & this.#mask;
    for (;;) {
      const there = this.#left[slot];
      if (there === -1 || (there === left && this.#right[slot] === right)) {
        return slot;
      }
      slot = (slot + 1) & this.#mask;
    }
  }
}

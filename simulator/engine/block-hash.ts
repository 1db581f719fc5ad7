/** State of the hash chain after a block: two 32-bit lanes, so that a block's key is practically unique. */
interface ChainState {
  readonly low: number;
  readonly high: number;
}

const START: ChainState = { low: 0x9e3779b9, high: 0x85ebca6b };

function mix(hash: number, value: number, multiplier: number): number {
  let mixed = Math.imul(hash ^ value, multiplier);
  mixed ^= mixed >>> 15;
  return Math.imul(mixed, 0x2c1b3c6d) ^ (mixed >>> 13);
}

/**
 * Keys of the full blocks of a growing token sequence. A key stands for the block AND everything before it
 * (vLLM's chained block hash), so equal keys mean an equal prefix. Keys are integers below 2^53.
 */
export class BlockHashChain {
  readonly keys: number[] = [];
  readonly #blockTokens: number;
  #state = START;

  constructor(blockTokens: number) {
    this.#blockTokens = blockTokens;
  }

  /** Hashes the blocks of `tokenAt(0 .. length)` that became full since the last call. */
  extend(length: number, tokenAt: (position: number) => number): void {
    const full = Math.floor(length / this.#blockTokens);
    while (this.keys.length < full) {
      const start = this.keys.length * this.#blockTokens;
      let { low, high } = this.#state;
      for (let position = start; position < start + this.#blockTokens; position += 1) {
        const token = tokenAt(position);
        low = mix(low, token, 0x297a2d39);
        high = mix(high, token, 0x5bd1e995);
      }
      this.#state = { low, high };
      this.keys.push((high >>> 11) * 2 ** 32 + (low >>> 0));
    }
  }
}

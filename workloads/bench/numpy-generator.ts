const MASK_64 = (1n << 64n) - 1n;
const MASK_128 = (1n << 128n) - 1n;
const PCG_MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const WORDS = 2 ** 32;

/**
 * numpy's `SeedSequence(seed).generate_state(count, uint32)` (numpy/random/bit_generator.pyx).
 * @param seed a safe integer of at least 0
 */
export function seedSequence(seed: number, count: number): Uint32Array {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`A seed must be a whole number of at least 0, not "${seed}".`);
  }
  const entropy = seed >= WORDS ? [seed % WORDS, Math.floor(seed / WORDS)] : [seed];
  const pool = new Uint32Array(4);
  let hash = 0x43b0d7e5;
  const hashed = (value: number): number => {
    let mixed = value ^ hash;
    hash = Math.imul(hash, 0x931e8875);
    mixed = Math.imul(mixed, hash);
    return mixed ^ (mixed >>> 16);
  };
  for (let index = 0; index < pool.length; index += 1) {
    pool[index] = hashed(entropy[index] ?? 0);
  }
  for (let from = 0; from < pool.length; from += 1) {
    for (let to = 0; to < pool.length; to += 1) {
      if (from !== to) {
        const mixed = Math.imul(0xca01f9dd, pool[to] ?? 0) - Math.imul(0x4973f715, hashed(pool[from] ?? 0));
        pool[to] = mixed ^ (mixed >>> 16);
      }
    }
  }
  const state = new Uint32Array(count);
  let outputHash = 0x8b51f9dd;
  for (let index = 0; index < count; index += 1) {
    let value = (pool[index % pool.length] ?? 0) ^ outputHash;
    outputHash = Math.imul(outputHash, 0x58f38ded);
    value = Math.imul(value, outputHash);
    state[index] = value ^ (value >>> 16);
  }
  return state;
}

/** numpy's `default_rng(seed)`: PCG64 (XSL-RR), as far as the random data set draws from it. */
export class NumpyGenerator {
  #state: bigint;
  readonly #increment: bigint;
  /** The unused upper half of the last 64-bit draw; -1: none. */
  #upperHalf = -1;

  /** @param seed a safe integer of at least 0 */
  constructor(seed: number) {
    const words = seedSequence(seed, 8);
    const wide = (index: number): bigint => BigInt(words[2 * index] ?? 0) | (BigInt(words[2 * index + 1] ?? 0) << 32n);
    const start = (wide(0) << 64n) | wide(1);
    this.#increment = ((((wide(2) << 64n) | wide(3)) << 1n) | 1n) & MASK_128;
    this.#state = this.#increment;
    this.#state = (this.#state + start) & MASK_128;
    this.#step();
  }

  /**
   * `integers(low, high, size=count)`: `high` is not included; at most 2^32 values. A range of one value draws nothing.
   */
  integers(low: number, high: number, count: number): number[] {
    const range = high - low;
    if (!(Number.isSafeInteger(low) && Number.isSafeInteger(high) && range >= 1 && range <= WORDS)) {
      throw new RangeError(`No integers can be drawn from ${low} up to, not including, ${high}.`);
    }
    const drawn = new Array<number>(count).fill(low);
    if (range > 1) {
      for (let index = 0; index < count; index += 1) {
        drawn[index] = low + this.#below(range);
      }
    }
    return drawn;
  }

  /** Lemire's method on 32 bits with rejection: the upper word of a 64-bit product. */
  #below(range: number): number {
    if (range === WORDS) {
      return this.#nextWord();
    }
    let word = this.#nextWord();
    let lower = Math.imul(word, range) >>> 0;
    if (lower < range) {
      const threshold = (WORDS - range) % range;
      while (lower < threshold) {
        word = this.#nextWord();
        lower = Math.imul(word, range) >>> 0;
      }
    }
    return upperWord(word, range);
  }

  /** The lower half of a new 64-bit draw first, its upper half at the next call. */
  #nextWord(): number {
    if (this.#upperHalf >= 0) {
      const word = this.#upperHalf;
      this.#upperHalf = -1;
      return word;
    }
    this.#step();
    const folded = (this.#state >> 64n) ^ (this.#state & MASK_64);
    const rotation = this.#state >> 122n;
    const output = ((folded >> rotation) | (folded << (64n - rotation))) & MASK_64;
    this.#upperHalf = Number(output >> 32n);
    return Number(output & 0xffffffffn);
  }

  #step(): void {
    this.#state = (this.#state * PCG_MULTIPLIER + this.#increment) & MASK_128;
  }
}

/** Upper 32 bits of the product of two unsigned 32-bit numbers. */
function upperWord(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 0x10000);
  const carried = aLow * bHigh + (middle % 0x10000);
  return aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carried / 0x10000);
}

const N = 624;
const M = 397;
const UPPER = 0x80000000;
const LOWER = 0x7fffffff;
const MATRIX = 0x9908b0df;

/** MT19937 (Matsumoto and Nishimura, 1998): the generator behind Python's `random` and numpy's legacy `np.random`. */
export class MersenneTwister {
  readonly #state = new Uint32Array(N);
  #next = N;

  private constructor() {}

  /** `init_genrand`, as `np.random.seed(seed)` uses it. @param seed 0 to 2^32 - 1 */
  static fromWord(seed: number): MersenneTwister {
    const twister = new MersenneTwister();
    twister.#initialise(seed);
    return twister;
  }

  /** `init_by_array`, as Python's `random.seed` uses it. */
  static fromWords(words: readonly number[]): MersenneTwister {
    const twister = new MersenneTwister();
    const state = twister.#state;
    twister.#initialise(19650218);
    let i = 1;
    let j = 0;
    const step = (multiplier: number): number => {
      const before = state[i - 1] ?? 0;
      return (state[i] ?? 0) ^ Math.imul(before ^ (before >>> 30), multiplier);
    };
    const advance = (): void => {
      i += 1;
      if (i >= N) {
        state[0] = state[N - 1] ?? 0;
        i = 1;
      }
    };
    for (let count = Math.max(N, words.length); count > 0; count -= 1) {
      state[i] = step(1664525) + (words[j] ?? 0) + j;
      advance();
      j = (j + 1) % words.length;
    }
    for (let count = N - 1; count > 0; count -= 1) {
      state[i] = step(1566083941) - i;
      advance();
    }
    state[0] = UPPER;
    return twister;
  }

  /** 32 random bits, 0 to 2^32 - 1. */
  nextWord(): number {
    if (this.#next === N) {
      this.#twist();
    }
    let word = this.#state[this.#next] ?? 0;
    this.#next += 1;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    word ^= word >>> 18;
    return word >>> 0;
  }

  /** 53 random bits in [0, 1). */
  nextDouble(): number {
    const high = this.nextWord() >>> 5;
    const low = this.nextWord() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  #initialise(seed: number): void {
    const state = this.#state;
    state[0] = seed;
    for (let index = 1; index < N; index += 1) {
      const before = state[index - 1] ?? 0;
      state[index] = Math.imul(1812433253, before ^ (before >>> 30)) + index;
    }
  }

  #twist(): void {
    const state = this.#state;
    for (let index = 0; index < N; index += 1) {
      const mixed = ((state[index] ?? 0) & UPPER) | ((state[(index + 1) % N] ?? 0) & LOWER);
      state[index] = (state[(index + M) % N] ?? 0) ^ (mixed >>> 1) ^ (mixed & 1 ? MATRIX : 0);
    }
    this.#next = 0;
  }
}

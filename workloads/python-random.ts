import { MersenneTwister } from './mersenne-twister.js';

/** The parts of Python's `random.Random(seed)` that workloads draw from, bit for bit (CPython's Lib/random.py). */
export class PythonRandom {
  readonly #twister: MersenneTwister;

  /** @param seed any safe integer; the sign is ignored, as there */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) {
      throw new RangeError(`A seed must be a whole number, not "${seed}".`);
    }
    const magnitude = Math.abs(seed);
    const words = [magnitude % 2 ** 32];
    if (magnitude >= 2 ** 32) {
      words.push(Math.floor(magnitude / 2 ** 32));
    }
    this.#twister = MersenneTwister.fromWords(words);
  }

  /** `randint(low, high)`: both included; at most 2^32 - 1 values. */
  randint(low: number, high: number): number {
    return low + this.#below(high - low + 1);
  }

  /** `random()`: 53 bits in [0, 1). */
  random(): number {
    return this.#twister.nextDouble();
  }

  /** `choice`. @throws RangeError when there is nothing to choose from */
  choice<Item>(items: readonly Item[]): Item {
    if (items.length === 0) {
      throw new RangeError('Nothing to choose from.');
    }
    return items[this.#below(items.length)] as Item;
  }

  /** `choices(items, k=count)`: with repetition. */
  choices<Item>(items: readonly Item[], count: number): Item[] {
    return Array.from({ length: count }, () => items[Math.floor(this.random() * items.length)] as Item);
  }

  /** `shuffle`: in place. */
  shuffle<Item>(items: Item[]): void {
    for (let last = items.length - 1; last > 0; last -= 1) {
      const other = this.#below(last + 1);
      const moved = items[last] as Item;
      items[last] = items[other] as Item;
      items[other] = moved;
    }
  }

  /** `_randbelow_with_getrandbits`: as many bits as `count` has, drawn again while too large. */
  #below(count: number): number {
    const bits = 32 - Math.clz32(count);
    let value: number;
    do {
      value = this.#twister.nextWord() >>> (32 - bits);
    } while (value >= count);
    return value;
  }
}

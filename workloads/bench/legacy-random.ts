import { MersenneTwister } from '../mersenne-twister.js';
import type { IntegerSource } from './round-trip.js';

/** numpy's global `np.random` after `np.random.seed(seed)`, as far as data sets draw integers from it. */
export class LegacyRandom implements IntegerSource {
  /** For whoever draws on: arrivals come from the same stream. */
  readonly twister: MersenneTwister;

  /** @param seed 0 to 2^32 - 1 */
  constructor(seed: number) {
    this.twister = MersenneTwister.fromWord(seed);
  }

  /** `randint(low, high, size=count)`: words masked to as many bits as the range has, drawn again while too large. */
  integers(low: number, high: number, count: number): number[] {
    const range = high - low - 1;
    if (!(Number.isSafeInteger(low) && Number.isSafeInteger(high) && range >= 0 && range < 2 ** 32)) {
      throw new RangeError(`No integers can be drawn from ${low} up to, not including, ${high}.`);
    }
    if (range === 0) {
      return new Array<number>(count).fill(low);
    }
    const shift = Math.clz32(range);
    return Array.from({ length: count }, () => {
      let value: number;
      do {
        value = (this.twister.nextWord() << shift) >>> shift;
      } while (value > range);
      return low + value;
    });
  }
}

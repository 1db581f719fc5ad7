/** The golden ratio's fraction: its multiples fall between those before, so that few of them cover everything evenly. */
const GOLDEN_FRACTION = (Math.sqrt(5) - 1) / 2;

/**
 * Factors of mean 1 within `share` of it, the same ones in the same order every time. What always took equally long
 * would fall into step with the engine, and be early or late by a whole step each time.
 */
export class Scatter {
  readonly #share: number;
  #drawn = 0;

  /** @param share half the width of the factors' range. */
  constructor(share: number) {
    this.#share = share;
  }

  next(): number {
    this.#drawn += 1;
    return 1 + this.#share * (2 * ((this.#drawn * GOLDEN_FRACTION) % 1) - 1);
  }
}

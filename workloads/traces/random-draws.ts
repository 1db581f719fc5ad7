import { PythonRandom } from '../python-random.js';

/** Draws of the distributions that traces are made with; equal seeds give equal draws on every machine. */
export class RandomDraws {
  readonly #random: PythonRandom;
  #spare: number | null = null;

  /** @param seed any safe integer */
  constructor(seed: number) {
    this.#random = new PythonRandom(seed);
  }

  /** In [0, 1). */
  uniform(): number {
    return this.#random.random();
  }

  /** With this mean. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.#random.random());
  }

  /** exp(ln(median) + sigma * N(0, 1)): half of the draws are above the median. */
  logNormal(median: number, sigma: number): number {
    return median * Math.exp(sigma * this.#normal());
  }

  /** Marsaglia's polar method; every second draw is the first one's sibling. */
  #normal(): number {
    if (this.#spare !== null) {
      const spare = this.#spare;
      this.#spare = null;
      return spare;
    }
    for (;;) {
      const x = 2 * this.#random.random() - 1;
      const y = 2 * this.#random.random() - 1;
      const square = x * x + y * y;
      if (square > 0 && square < 1) {
        const factor = Math.sqrt((-2 * Math.log(square)) / square);
        this.#spare = factor * x;
        return factor * y;
      }
    }
  }
}

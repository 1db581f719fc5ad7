import { MersenneTwister } from '../mersenne-twister.js';

export interface ArrivalOptions {
  readonly count: number;
  /** Requests a second; Infinity: all at once. */
  readonly requestRate: number;
  /** Shape of the gamma distribution of the gaps; 1: Poisson; Infinity: even gaps. */
  readonly burstiness: number;
  /** 0 to 2^32 - 1. */
  readonly seed: number;
}

/**
 * When each request is due, in seconds after the start, as `vllm bench serve` draws them: gaps by
 * `np.random.gamma(burstiness, 1 / (rate * burstiness))`, summed, stretched so that the last one is at count / rate.
 */
export function arrivalTimes(options: ArrivalOptions): number[] {
  const { count, requestRate, burstiness, seed } = options;
  if (!(requestRate > 0)) {
    throw new RangeError(`A request rate must be above 0, not "${requestRate}".`);
  }
  if (!(burstiness > 0)) {
    throw new RangeError(`Burstiness must be above 0, not "${burstiness}".`);
  }
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new RangeError(`A seed must be a whole number from 0 to 4294967295, not "${seed}".`);
  }
  if (requestRate === Number.POSITIVE_INFINITY) {
    return new Array<number>(count).fill(0);
  }
  const random = new LegacyGamma(seed);
  const scale = 1 / (requestRate * burstiness);
  const times: number[] = [];
  let total = 0;
  for (let index = 0; index < count; index += 1) {
    total += burstiness === Number.POSITIVE_INFINITY ? 1 / requestRate : scale * random.next(burstiness);
    times.push(total);
  }
  if (total === 0) {
    return times;
  }
  const stretch = count / requestRate / total;
  return times.map((time) => time * stretch);
}

/** numpy's legacy standard gamma, exponential and Gaussian (legacy-distributions.c). */
class LegacyGamma {
  readonly #twister: MersenneTwister;
  #spareGaussian: number | null = null;

  constructor(seed: number) {
    this.#twister = MersenneTwister.fromWord(seed);
  }

  next(shape: number): number {
    if (shape === 1) {
      return this.#exponential();
    }
    return shape < 1 ? this.#belowOne(shape) : this.#aboveOne(shape);
  }

  #exponential(): number {
    return -Math.log(1 - this.#twister.nextDouble());
  }

  /** Ahrens and Dieter's GS. */
  #belowOne(shape: number): number {
    for (;;) {
      const uniform = this.#twister.nextDouble();
      const exponential = this.#exponential();
      if (uniform <= 1 - shape) {
        const value = uniform ** (1 / shape);
        if (value <= exponential) {
          return value;
        }
      } else {
        const tail = -Math.log((1 - uniform) / shape);
        const value = (1 - shape + shape * tail) ** (1 / shape);
        if (value <= exponential + tail) {
          return value;
        }
      }
    }
  }

  /** Marsaglia and Tsang. */
  #aboveOne(shape: number): number {
    const b = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * b);
    for (;;) {
      let gaussian: number;
      let root: number;
      do {
        gaussian = this.#gaussian();
        root = 1 + c * gaussian;
      } while (root <= 0);
      const cube = root * root * root;
      const uniform = this.#twister.nextDouble();
      const square = gaussian * gaussian;
      if (uniform < 1 - 0.0331 * square * square) {
        return b * cube;
      }
      if (Math.log(uniform) < 0.5 * gaussian * gaussian + b * (1 - cube + Math.log(cube))) {
        return b * cube;
      }
    }
  }

  /** Marsaglia's polar method; every second draw is the first one's sibling. */
  #gaussian(): number {
    if (this.#spareGaussian !== null) {
      const spare = this.#spareGaussian;
      this.#spareGaussian = null;
      return spare;
    }
    let x: number;
    let y: number;
    let square: number;
    do {
      x = 2 * this.#twister.nextDouble() - 1;
      y = 2 * this.#twister.nextDouble() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    this.#spareGaussian = factor * x;
    return factor * y;
  }
}

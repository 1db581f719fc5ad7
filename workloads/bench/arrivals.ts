import { MersenneTwister } from '../mersenne-twister.js';

export interface ArrivalOptions {
  readonly count: number;
  /** Requests a second; Infinity: all at once. */
  readonly requestRate: number;
  /** Shape of the gamma distribution of the gaps; 1: Poisson; Infinity: even gaps. */
  readonly burstiness: number;
  /** 0 to 2^32 - 1. */
  readonly seed: number;
  /** Instead of `requestRate`, which is Infinity then. */
  readonly rampUp?: RampUp;
  /** Continued instead of a new one from `seed`: a data set has drawn from it. */
  readonly random?: MersenneTwister;
}

/** The rate grows from the first request to the last one. Requests a second. */
export interface RampUp {
  readonly strategy: 'linear' | 'exponential';
  readonly startRps: number;
  readonly endRps: number;
}

/** The rate at which request `index` of `count` is due (`_get_current_request_rate` of vllm/benchmarks/serve.py). */
export function rateAt(index: number, count: number, rampUp: RampUp): number {
  const { strategy, startRps, endRps } = rampUp;
  const progress = index / Math.max(count - 1, 1);
  return strategy === 'linear' ? startRps + (endRps - startRps) * progress : startRps * (endRps / startRps) ** progress;
}

/**
 * When each request is due, in seconds after the start, as `vllm bench serve` draws them: gaps by
 * `np.random.gamma(burstiness, 1 / (rate * burstiness))`, summed, stretched so that the last one is at count / rate.
 * A ramp is not stretched.
 * @throws RangeError for a rate, burstiness or seed out of range
 */
export function arrivalTimes(options: ArrivalOptions): number[] {
  const { count, requestRate, burstiness, seed, rampUp } = options;
  const rates = Array.from({ length: count }, (_, index) =>
    rampUp === undefined ? requestRate : rateAt(index, count, rampUp),
  );
  const wrong = rates.find((rate) => !(rate > 0));
  if (wrong !== undefined) {
    throw new RangeError(`A request rate must be above 0, not "${wrong}".`);
  }
  if (!(burstiness > 0)) {
    throw new RangeError(`Burstiness must be above 0, not "${burstiness}".`);
  }
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new RangeError(`A seed must be a whole number from 0 to 4294967295, not "${seed}".`);
  }
  const random = new LegacyGamma(options.random ?? MersenneTwister.fromWord(seed));
  const times: number[] = [];
  let total = 0;
  for (const rate of rates) {
    if (rate < Number.POSITIVE_INFINITY) {
      total += burstiness === Number.POSITIVE_INFINITY ? 1 / rate : (1 / (rate * burstiness)) * random.next(burstiness);
    }
    times.push(total);
  }
  if (total === 0 || rampUp !== undefined) {
    return times;
  }
  const stretch = count / requestRate / total;
  return times.map((time) => time * stretch);
}

/** numpy's legacy standard gamma, exponential and Gaussian (legacy-distributions.c). */
class LegacyGamma {
  readonly #twister: MersenneTwister;
  #spareGaussian: number | null = null;

  constructor(twister: MersenneTwister) {
    this.#twister = twister;
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

/**
 * Statistics as numpy computes them, to the last bit, so that a figure recomputed in Python from our files is equal.
 * All take any order and leave their argument alone; an empty list gives 0, as `vllm bench serve` reports it.
 */

/** Below this many elements numpy adds in eight lanes, above it halves the range (`pairwise_sum` in loops_utils.h). */
const PAIRWISE_BLOCK = 128;

function pairwiseSum(values: ArrayLike<number>, start: number, count: number): number {
  const at = (index: number): number => values[start + index] ?? 0;
  if (count < 8) {
    let sum = 0;
    for (let index = 0; index < count; index += 1) {
      sum += at(index);
    }
    return sum;
  }
  if (count <= PAIRWISE_BLOCK) {
    const lanes = [at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)] as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const whole = count - (count % 8);
    for (let index = 8; index < whole; index += 8) {
      lanes[0] += at(index);
      lanes[1] += at(index + 1);
      lanes[2] += at(index + 2);
      lanes[3] += at(index + 3);
      lanes[4] += at(index + 4);
      lanes[5] += at(index + 5);
      lanes[6] += at(index + 6);
      lanes[7] += at(index + 7);
    }
    let sum = lanes[0] + lanes[1] + (lanes[2] + lanes[3]) + (lanes[4] + lanes[5] + (lanes[6] + lanes[7]));
    for (let index = whole; index < count; index += 1) {
      sum += at(index);
    }
    return sum;
  }
  let half = Math.floor(count / 2);
  half -= half % 8;
  return pairwiseSum(values, start, half) + pairwiseSum(values, start + half, count - half);
}

/** numpy's `sum` of float64. */
export function sum(values: ArrayLike<number>): number {
  return pairwiseSum(values, 0, values.length);
}

/** numpy's `mean`. */
export function mean(values: ArrayLike<number>): number {
  return values.length === 0 ? 0 : sum(values) / values.length;
}

/** numpy's `std` with its default `ddof=0`: the population's. */
export function populationStd(values: ArrayLike<number>): number {
  if (values.length === 0) {
    return 0;
  }
  const centre = mean(values);
  const squares = new Float64Array(values.length);
  for (let index = 0; index < values.length; index += 1) {
    const distance = (values[index] ?? 0) - centre;
    squares[index] = distance * distance;
  }
  return Math.sqrt(sum(squares) / values.length);
}

function sorted(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values).sort();
}

/** numpy's `median`: the middle one, or the mean of the middle two. */
export function median(values: ArrayLike<number>): number {
  return medianOfSorted(sorted(values));
}

function medianOfSorted(ordered: Float64Array): number {
  const middle = ordered.length >> 1;
  const upper = ordered[middle] ?? 0;
  return ordered.length % 2 === 1 ? upper : ((ordered[middle - 1] ?? 0) + upper) / 2;
}

/**
 * numpy's `percentile` with its default method `linear`, including how it rounds (`_lerp`).
 * @param percent 0 to 100
 */
export function percentile(values: ArrayLike<number>, percent: number): number {
  return values.length === 0 ? 0 : percentileOfSorted(sorted(values), percent);
}

function percentileOfSorted(ordered: Float64Array, percent: number): number {
  if (!(percent >= 0 && percent <= 100)) {
    throw new RangeError(`A percentile must be between 0 and 100, not "${percent}".`);
  }
  const position = (percent / 100) * (ordered.length - 1);
  const below = Math.floor(position);
  const fraction = position - below;
  const low = ordered[below] ?? 0;
  const high = ordered[Math.min(below + 1, ordered.length - 1)] ?? 0;
  const gap = high - low;
  return fraction >= 0.5 ? high - gap * (1 - fraction) : low + gap * fraction;
}

export interface Summary {
  readonly mean: number;
  readonly median: number;
  /** The population's. */
  readonly std: number;
  /** In the order in which they were asked for. */
  readonly percentiles: readonly number[];
}

/** All of these at once, with one copy of the values. @param percents 0 to 100 */
export function summarise(values: ArrayLike<number>, percents: readonly number[]): Summary {
  const std = populationStd(values);
  const ordered = sorted(values);
  return {
    mean: mean(values),
    median: medianOfSorted(ordered),
    std,
    percentiles: percents.map((percent) => (ordered.length === 0 ? 0 : percentileOfSorted(ordered, percent))),
  };
}

/**
 * Mean without the floor(n * fraction) smallest and as many largest; an empty list gives null.
 * @param fraction 0 up to, not including, 0.5
 */
export function trimmedMean(values: ArrayLike<number>, fraction: number): number | null {
  if (!(fraction >= 0 && fraction < 0.5)) {
    throw new RangeError(`A trim fraction must be at least 0 and below 0.5, not "${fraction}".`);
  }
  if (values.length === 0) {
    return null;
  }
  const ordered = sorted(values);
  const cut = Math.floor(ordered.length * fraction);
  return mean(ordered.subarray(cut, ordered.length - cut));
}

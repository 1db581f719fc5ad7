import { createHistogram } from 'node:perf_hooks';

/** Values beyond 300 hours count as those. */
const MAX_MICROSECONDS = 2 ** 40;
const DIGITS = 3;

/**
 * Percentiles of all durations so far, to 0.1 %, for whoever watches a run: adding one takes a fraction of a microsecond
 * however many there are, where exact ones (`statistics.ts`) would sort them all.
 */
export class LiveQuantiles {
  readonly #histogram = createHistogram({ lowest: 1, highest: MAX_MICROSECONDS, figures: DIGITS });

  add(seconds: number): void {
    this.#histogram.record(Math.min(MAX_MICROSECONDS, Math.max(1, Math.round(seconds * 1e6))));
  }

  get isEmpty(): boolean {
    return this.#histogram.count === 0;
  }

  /** Seconds; the nearest of them, not interpolated. @param percent above 0, at most 100 */
  percentile(percent: number): number {
    return this.#histogram.percentile(percent) / 1e6;
  }
}

import { median } from '../workloads/statistics.js';

/** Values of one quantity, one a round. */
export type Samples = readonly number[];

/** `0.62 s (0.58 to 0.71, n=3)`: the median with the least and the greatest; times below 1 s in ms where `unit` is `ms`. */
export function formatSpread(samples: Samples, unit: 's' | 'ms'): string {
  if (samples.length === 0) return 'not measured';
  const digits = unit === 's' ? 2 : 0;
  const text = (value: number): string => value.toFixed(digits);
  return `${text(median(samples))} ${unit} (${text(Math.min(...samples))} to ${text(Math.max(...samples))}, n=${samples.length})`;
}

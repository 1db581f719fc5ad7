import { median } from '../../workloads/statistics.js';
import type { TokenTimes } from './token-streams.js';

/** How late tokens came, in ms, against the earliest schedule of equal steps that none of them is ahead of. */
export interface Lateness {
  /** 99th percentile over all tokens. */
  readonly p99: number;
  /** 99th percentile, over steps, of a step's first and of its last token. */
  readonly firstP99: number;
  readonly lastP99: number;
  /** By how much the last tenth of the steps came later than the first tenth, at the median of their first tokens. */
  readonly drift: number;
}

/**
 * All streams decode in one batch with steps of `stepMs`: token j of a stream belongs to step j of a common schedule,
 * give or take the steps by which the stream began later. No token leaves before its time, so the earliest of all, less
 * its steps, is the schedule's origin: the way to this process and this process's own delay count as late.
 */
export function latenessOf(streams: readonly TokenTimes[], stepMs: number): Lateness {
  const [reference] = streams;
  if (reference === undefined) throw new Error('no streams were read');
  // Steps before the last stream began held prompts too, and were not paced.
  const settled = Math.max(...streams.map((times) => times[0] ?? 0)) + stepMs;
  const steps = new Map<number, number[]>();
  let origin = Number.POSITIVE_INFINITY;
  for (const times of streams) {
    const behind = Math.round(median(times.map((time, index) => time - (reference[index] ?? 0))) / stepMs);
    for (const [index, time] of times.entries()) {
      if (time <= settled) continue;
      const step = index + behind;
      origin = Math.min(origin, time - step * stepMs);
      const known = steps.get(step);
      if (known === undefined) steps.set(step, [time]);
      else known.push(time);
    }
  }
  const late = [...steps]
    .filter(([, times]) => times.length === streams.length)
    .sort(([left], [right]) => left - right)
    .map(([step, times]) => times.map((time) => time - origin - step * stepMs));
  const firsts = late.map((values) => Math.min(...values));
  const lasts = late.map((values) => Math.max(...values));
  const tenth = Math.max(1, Math.floor(late.length / 10));
  return {
    p99: percentile(late.flat(), 0.99),
    firstP99: percentile(firsts, 0.99),
    lastP99: percentile(lasts, 0.99),
    drift: median(firsts.slice(-tenth)) - median(firsts.slice(0, tenth)),
  };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

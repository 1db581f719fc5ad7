import { median } from '../../workloads/statistics.js';
import type { TokenTimes } from './token-streams.js';

/** How far from their time tokens left, in ms, by the earliest schedule of equal steps that none of them is too far ahead of. */
export interface Lateness {
  /** 99th percentile over all tokens, early ones and late ones alike. */
  readonly p99: number;
  /** 99th percentile, over steps, of a step's first token (early or late) and of its last one. */
  readonly firstP99: number;
  readonly lastP99: number;
  /** By how much the last tenth of the steps came later than the first tenth, at the median of their first tokens. */
  readonly drift: number;
}

/**
 * All streams decode in one batch with steps of `stepMs`: token j of a stream belongs to step j of a common schedule,
 * give or take the steps by which the stream began later. No token leaves earlier than `leadMs` before its time, so the
 * earliest of all, less its steps, tells the schedule's origin. Steps up to the one in which the last stream began held
 * prompts too, and count neither for the origin nor as late; nor do steps after the first stream's end.
 * @param leadMs by how much the server begins a step's tokens before their time.
 */
export function latenessOf(streams: readonly TokenTimes[], stepMs: number, leadMs: number): Lateness {
  const late = latenessOfSteps(streams, stepMs, leadMs);
  const firsts = late.map((values) => Math.min(...values));
  const lasts = late.map((values) => Math.max(...values));
  const tenth = Math.max(1, Math.floor(late.length / 10));
  return {
    p99: percentile(late.flat().map(Math.abs), 0.99),
    firstP99: percentile(firsts.map(Math.abs), 0.99),
    lastP99: percentile(lasts, 0.99),
    drift: median(firsts.slice(-tenth)) - median(firsts.slice(0, tenth)),
  };
}

/** Of each step in which all streams decode: how late each stream's token was, negative where it was early. */
function latenessOfSteps(
  streams: readonly TokenTimes[],
  stepMs: number,
  leadMs: number,
): readonly (readonly number[])[] {
  const [reference] = streams;
  if (reference === undefined) throw new Error('no streams were read');
  const allHaveBegun = Math.max(...streams.map((times) => times[0] ?? Number.NaN));
  const oneHasEnded = Math.min(...streams.map((times) => times.at(-1) ?? Number.NaN));
  const startOf = (times: TokenTimes): number => virtualStart(times, { from: allHaveBegun, to: oneHasEnded }, stepMs);
  const start = startOf(reference);
  const began = streams.map((times) => Math.round((startOf(times) - start) / stepMs));
  if (!began.every(Number.isFinite)) throw new Error('no step holds all streams');
  const firstStep = Math.max(...began) + 1;
  const endStep = Math.min(...began.map((step, stream) => step + (streams[stream]?.length ?? 0)));
  if (endStep <= firstStep) throw new Error('no step holds all streams');
  const steps = Array.from({ length: endStep - firstStep }, (_, step) =>
    streams.map((times, stream) => (times[firstStep + step - (began[stream] ?? 0)] ?? Number.NaN) - step * stepMs),
  );
  const origin = Math.min(...steps.map((times) => Math.min(...times))) + leadMs;
  return steps.map((times) => times.map((time) => time - origin));
}

/**
 * When a stream would have begun on a schedule that none of its tokens after `from` and up to `to` is ahead of. One of them that
 * came in time is enough to tell: after a stall the tokens that follow come faster than their steps, for most of a short run.
 */
function virtualStart(
  times: TokenTimes,
  { from, to }: { readonly from: number; readonly to: number },
  stepMs: number,
): number {
  let start = Number.POSITIVE_INFINITY;
  for (const [index, time] of times.entries()) {
    if (time > from && time <= to) start = Math.min(start, time - index * stepMs);
  }
  return start;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

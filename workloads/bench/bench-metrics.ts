import { type RequestRecord, ttftSeconds } from '../request.js';
import { summarise } from '../statistics.js';
import type { BenchMetric, GoodputLevels } from './options.js';

/** One request in the terms of `vllm bench serve`; times in seconds. Failed ones have zeros. */
export interface BenchRequest {
  readonly ok: boolean;
  readonly startTime: number;
  /** Client-side wait for a place under the concurrency limit. */
  readonly queueTime: number;
  readonly ttft: number;
  /** Gaps between events with tokens; `ttft` plus all of them is `latency`. */
  readonly itls: readonly number[];
  /** Last event with tokens, from the start. */
  readonly latency: number;
  readonly promptLen: number;
  readonly outputLen: number;
  readonly text: string;
  readonly error: string;
}

/** The requests of a run in columns, in their order: a number for each figure, no object for each request. */
export class BenchRequests {
  readonly length: number;
  readonly ok: Uint8Array;
  readonly startTime: Float64Array;
  readonly queueTime: Float64Array;
  readonly ttft: Float64Array;
  readonly latency: Float64Array;
  readonly promptLen: Int32Array;
  readonly outputLen: Int32Array;
  readonly #gaps: Float64Array;
  readonly #gapEnds: Float64Array;
  readonly #texts: string[] = [];
  readonly #errors: string[] = [];

  /**
   * @param gaps of all requests together, at most
   * @param keepsTexts whether `texts` and `errors` are wanted
   */
  constructor(count: number, gaps: number, requests: Iterable<BenchRequest>, keepsTexts: boolean) {
    this.length = count;
    this.ok = new Uint8Array(count);
    this.startTime = new Float64Array(count);
    this.queueTime = new Float64Array(count);
    this.ttft = new Float64Array(count);
    this.latency = new Float64Array(count);
    this.promptLen = new Int32Array(count);
    this.outputLen = new Int32Array(count);
    const allGaps = new Float64Array(gaps);
    this.#gapEnds = new Float64Array(count);
    let index = 0;
    let gapEnd = 0;
    for (const request of requests) {
      this.ok[index] = request.ok ? 1 : 0;
      this.startTime[index] = request.startTime;
      this.queueTime[index] = request.queueTime;
      this.ttft[index] = request.ttft;
      this.latency[index] = request.latency;
      this.promptLen[index] = request.promptLen;
      this.outputLen[index] = request.outputLen;
      if (request.ok) {
        allGaps.set(request.itls, gapEnd);
        gapEnd += request.itls.length;
      }
      this.#gapEnds[index] = gapEnd;
      if (keepsTexts) {
        this.#texts.push(request.text);
        this.#errors.push(request.error);
      }
      index += 1;
    }
    this.#gaps = allGaps.subarray(0, gapEnd);
  }

  static of(requests: readonly BenchRequest[]): BenchRequests {
    const gaps = requests.reduce((total, { itls }) => total + itls.length, 0);
    return new BenchRequests(requests.length, gaps, requests, true);
  }

  get texts(): readonly string[] {
    return this.#texts;
  }

  get errors(): readonly string[] {
    return this.#errors;
  }

  /** Gaps between the events with tokens of one request: a view. */
  itls(index: number): Float64Array {
    return this.#gaps.subarray(index === 0 ? 0 : this.#gapEnds[index - 1], this.#gapEnds[index]);
  }

  /** Of all requests, in their order: a view. Failed ones have none. */
  get allItls(): Float64Array {
    return this.#gaps;
  }

  /** Of those that succeeded, in their order. */
  *successes(): Generator<number, void> {
    for (let index = 0; index < this.length; index += 1) {
      if (this.ok[index] === 1) {
        yield index;
      }
    }
  }
}

export interface BenchFigures {
  readonly duration: number;
  readonly completed: number;
  readonly failed: number;
  readonly totalInput: number;
  readonly totalOutput: number;
  readonly goodRequests: number;
  readonly maxOutputTokensPerSecond: number;
  readonly maxConcurrentRequests: number;
}

/** @param promptLen by the client's own count, used where the server gave no usage */
export function toBenchRequest(
  record: RequestRecord,
  promptLen: number,
  outputLen: number,
  error: string,
): BenchRequest {
  const start = record.sentAt ?? record.readyAt;
  const base = { startTime: start, queueTime: Math.max(0, start - record.intendedStart), error };
  const ttft = ttftSeconds(record);
  if (record.outcome.state !== 'ok' || ttft === null || record.firstTokenAt === null) {
    return { ...base, ok: false, ttft: 0, itls: [], latency: 0, promptLen, outputLen: 0, text: '' };
  }
  const itls: number[] = [];
  let last = record.firstTokenAt;
  let isAfterFirst = false;
  for (const time of record.tokenTimes) {
    if (isAfterFirst) {
      itls.push(time - last);
      last = time;
    }
    isAfterFirst ||= time >= record.firstTokenAt;
  }
  return {
    ...base,
    ok: true,
    ttft,
    itls,
    latency: last - start,
    promptLen: record.promptTokens ?? promptLen,
    outputLen,
    text: record.text,
  };
}

/** Totals and peaks as `calculate_metrics` of vllm/benchmarks/serve.py (0.32.0) has them. */
export function benchFigures(requests: BenchRequests, duration: number, goodput: GoodputLevels): BenchFigures {
  const peaks = peaksPerSecond(requests);
  let completed = 0;
  let totalInput = 0;
  let totalOutput = 0;
  let goodRequests = 0;
  for (const index of requests.successes()) {
    completed += 1;
    totalInput += requests.promptLen[index] ?? 0;
    totalOutput += requests.outputLen[index] ?? 0;
    goodRequests += isGood(requests, index, goodput) ? 1 : 0;
  }
  return {
    duration,
    completed,
    failed: requests.length - completed,
    totalInput,
    totalOutput,
    goodRequests,
    maxOutputTokensPerSecond: peaks.tokens,
    maxConcurrentRequests: peaks.requests,
  };
}

/** Values in seconds, over the successes, of one metric. */
export function metricValues(metric: BenchMetric, requests: BenchRequests): Float64Array {
  const { ttft, latency, queueTime, outputLen } = requests;
  const of = (value: (index: number) => number): Float64Array => Float64Array.from(requests.successes(), value);
  switch (metric) {
    case 'ttft':
      return of((index) => ttft[index] ?? 0);
    case 'tpot':
      return of((index) => ((outputLen[index] ?? 0) > 1 ? timePerOutputToken(requests, index) : Number.NaN)).filter(
        (value) => !Number.isNaN(value),
      );
    case 'itl':
      return requests.allItls;
    case 'e2el':
      return of((index) => latency[index] ?? 0);
    case 'client_queue_time':
      return of((index) => queueTime[index] ?? 0);
    case 'e2el_including_client_queue':
      return of((index) => (latency[index] ?? 0) + (queueTime[index] ?? 0));
  }
}

/** `mean_ttft_ms`, `median_...`, `std_...`, `p99_...`: milliseconds of values in seconds. */
export function statisticsOf(
  metric: BenchMetric,
  values: ArrayLike<number>,
  percentiles: readonly number[],
): Record<string, number> {
  const summary = summarise(values, percentiles);
  const statistics: Record<string, number> = {
    [`mean_${metric}_ms`]: summary.mean * 1000,
    [`median_${metric}_ms`]: summary.median * 1000,
    [`std_${metric}_ms`]: summary.std * 1000,
  };
  for (const [index, percent] of percentiles.entries()) {
    statistics[`p${percent}_${metric}_ms`] = (summary.percentiles[index] ?? 0) * 1000;
  }
  return statistics;
}

function timePerOutputToken({ ttft, latency, outputLen }: BenchRequests, index: number): number {
  const tokens = outputLen[index] ?? 0;
  return tokens > 1 ? ((latency[index] ?? 0) - (ttft[index] ?? 0)) / (tokens - 1) : 0;
}

function isGood(requests: BenchRequests, index: number, levels: GoodputLevels): boolean {
  const { ttft, tpot, e2el } = levels;
  return (
    (ttft === undefined || (requests.ttft[index] ?? 0) <= ttft / 1000) &&
    (tpot === undefined || timePerOutputToken(requests, index) <= tpot / 1000) &&
    (e2el === undefined || (requests.latency[index] ?? 0) <= e2el / 1000)
  );
}

/** Peaks over buckets of one second, counted from the first start. */
function peaksPerSecond(requests: BenchRequests): { tokens: number; requests: number } {
  const startOf = (index: number): number => requests.startTime[index] ?? 0;
  const endOf = (index: number): number => startOf(index) + (requests.latency[index] ?? 0);
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  for (const index of requests.successes()) {
    first = Math.min(first, startOf(index));
    last = Math.max(last, endOf(index));
  }
  if (first === Number.POSITIVE_INFINITY) {
    return { tokens: 0, requests: 0 };
  }
  const seconds = Math.ceil(last - first) + 1;
  const tokens = new Float64Array(seconds);
  const inFlight = new Float64Array(seconds);
  const add = (buckets: Float64Array, second: number): void => {
    if (second >= 0 && second < seconds) {
      buckets[second] = (buckets[second] ?? 0) + 1;
    }
  };
  for (const index of requests.successes()) {
    let time = startOf(index) + (requests.ttft[index] ?? 0);
    add(tokens, Math.trunc(time - first));
    for (const gap of requests.itls(index)) {
      time += gap;
      add(tokens, Math.trunc(time - first));
    }
    const endSecond = Math.trunc(endOf(index) - first);
    for (let second = Math.trunc(startOf(index) - first); second <= endSecond; second += 1) {
      add(inFlight, second);
    }
  }
  const peak = (buckets: Float64Array): number => buckets.reduce((most, count) => Math.max(most, count), 0);
  return { tokens: peak(tokens), requests: peak(inFlight) };
}

import { type RequestRecord, ttftSeconds } from '../request.js';
import { mean, median, percentile, populationStd } from '../statistics.js';
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
export function benchFigures(
  requests: readonly BenchRequest[],
  duration: number,
  goodput: GoodputLevels,
): BenchFigures {
  const successes = requests.filter((request) => request.ok);
  const peaks = peaksPerSecond(successes);
  return {
    duration,
    completed: successes.length,
    failed: requests.length - successes.length,
    totalInput: successes.reduce((total, request) => total + request.promptLen, 0),
    totalOutput: successes.reduce((total, request) => total + request.outputLen, 0),
    goodRequests: successes.filter((request) => isGood(request, goodput)).length,
    maxOutputTokensPerSecond: peaks.tokens,
    maxConcurrentRequests: peaks.requests,
  };
}

/** Values in seconds, over the successes, of one metric. */
export function metricValues(metric: BenchMetric, requests: readonly BenchRequest[]): readonly number[] {
  const successes = requests.filter((request) => request.ok);
  switch (metric) {
    case 'ttft':
      return successes.map((request) => request.ttft);
    case 'tpot':
      return successes.flatMap((request) => (request.outputLen > 1 ? [timePerOutputToken(request)] : []));
    case 'itl':
      return successes.flatMap((request) => request.itls);
    case 'e2el':
      return successes.map((request) => request.latency);
    case 'client_queue_time':
      return successes.map((request) => request.queueTime);
    case 'e2el_including_client_queue':
      return successes.map((request) => request.latency + request.queueTime);
  }
}

/** `mean_ttft_ms`, `median_...`, `std_...`, `p99_...`: milliseconds of values in seconds. */
export function statisticsOf(
  metric: BenchMetric,
  values: readonly number[],
  percentiles: readonly number[],
): Record<string, number> {
  const statistics: Record<string, number> = {
    [`mean_${metric}_ms`]: mean(values) * 1000,
    [`median_${metric}_ms`]: median(values) * 1000,
    [`std_${metric}_ms`]: populationStd(values) * 1000,
  };
  for (const percent of percentiles) {
    statistics[`p${percent}_${metric}_ms`] = percentile(values, percent) * 1000;
  }
  return statistics;
}

function timePerOutputToken(request: BenchRequest): number {
  return request.outputLen > 1 ? (request.latency - request.ttft) / (request.outputLen - 1) : 0;
}

function isGood(request: BenchRequest, levels: GoodputLevels): boolean {
  const { ttft, tpot, e2el } = levels;
  return (
    (ttft === undefined || request.ttft <= ttft / 1000) &&
    (tpot === undefined || timePerOutputToken(request) <= tpot / 1000) &&
    (e2el === undefined || request.latency <= e2el / 1000)
  );
}

/** Peaks over buckets of one second, counted from the first start. */
function peaksPerSecond(successes: readonly BenchRequest[]): { tokens: number; requests: number } {
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  for (const request of successes) {
    first = Math.min(first, request.startTime);
    last = Math.max(last, request.startTime + request.latency);
  }
  if (successes.length === 0) {
    return { tokens: 0, requests: 0 };
  }
  const seconds = Math.ceil(last - first) + 1;
  const tokens = new Float64Array(seconds);
  const requests = new Float64Array(seconds);
  const add = (buckets: Float64Array, second: number): void => {
    if (second >= 0 && second < seconds) {
      buckets[second] = (buckets[second] ?? 0) + 1;
    }
  };
  for (const request of successes) {
    let time = request.startTime + request.ttft;
    add(tokens, Math.trunc(time - first));
    for (const gap of request.itls) {
      time += gap;
      add(tokens, Math.trunc(time - first));
    }
    const endSecond = Math.trunc(request.startTime + request.latency - first);
    for (let second = Math.trunc(request.startTime - first); second <= endSecond; second += 1) {
      add(requests, second);
    }
  }
  const peak = (buckets: Float64Array): number => buckets.reduce((most, count) => Math.max(most, count), 0);
  return { tokens: peak(tokens), requests: peak(requests) };
}

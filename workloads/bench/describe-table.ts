import { type RequestRecord, ttftFromIntendedSeconds, ttftSeconds } from '../request.js';
import type { RequestTable } from '../request-table.js';
import { summarise } from '../statistics.js';
import type { BenchServeExtras, LatencySummary } from './result-json.js';

/** What the result file says of the requests beside the figures of `vllm bench serve`. */
export function describeTable(
  table: RequestTable,
): Pick<BenchServeExtras, 'ttft_from_intended_ms' | 'client_queue_ms' | 'cached_tokens' | 'failures'> {
  const failures: Record<string, number> = {};
  for (const failure of table.failures()) {
    const reason = failure.reason === 'http-error' ? `http-${failure.status}` : failure.reason;
    failures[reason] = (failures[reason] ?? 0) + 1;
  }
  const cached = numbersOf(table, successful, ({ cachedTokens }) => cachedTokens);
  return {
    ttft_from_intended_ms: latencies(table, ttftFromIntendedSeconds),
    client_queue_ms: latencies(table, ({ sentAt, intendedStart }) => (sentAt ?? 0) - intendedStart),
    cached_tokens: cached.length === 0 ? null : cached.reduce((total, tokens) => total + tokens, 0),
    failures,
  };
}

/** Wall-clock milliseconds from "due and a place free" to the send, of those that were sent. */
export function sendLagsMs(
  table: RequestTable,
  speed: number,
  isWanted: (index: number) => boolean = () => true,
): Float64Array {
  return numbersOf(
    table,
    ({ index, sentAt }) => sentAt !== null && isWanted(index),
    ({ sentAt, readyAt }) => (((sentAt ?? 0) - readyAt) * 1000) / speed,
  );
}

/** Wall-clock milliseconds from the send to the first token, of those that succeeded. */
export function wallTtftsMs(table: RequestTable, speed: number): Float64Array {
  return numbersOf(table, successful, (record) => {
    const ttft = ttftSeconds(record);
    return ttft === null ? null : (ttft * 1000) / speed;
  });
}

function latencies(table: RequestTable, secondsOf: (record: RequestRecord) => number | null): LatencySummary {
  const values = numbersOf(table, successful, (record) => (secondsOf(record) ?? 0) * 1000);
  const { mean, median, percentiles } = summarise(values, [99]);
  return { mean, median, p99: percentiles[0] ?? 0 };
}

function successful({ outcome }: RequestRecord): boolean {
  return outcome.state === 'ok';
}

function numbersOf(
  table: RequestTable,
  isWanted: (record: RequestRecord) => boolean,
  of: (record: RequestRecord) => number | null,
): Float64Array {
  const values = new Float64Array(table.capacity);
  let count = 0;
  for (const record of table) {
    const value = isWanted(record) ? of(record) : null;
    if (value !== null) {
      values[count] = value;
      count += 1;
    }
  }
  return values.subarray(0, count);
}

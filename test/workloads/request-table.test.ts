import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  BenchRequests,
  benchFigures,
  metricValues,
  statisticsOf,
  toBenchRequest,
} from '../../workloads/bench/bench-metrics.js';
import { describeTable, sendLagsMs } from '../../workloads/bench/describe-table.js';
import type { BenchMetric } from '../../workloads/bench/options.js';
import type { RequestFailure, RequestRecord } from '../../workloads/request.js';
import { RequestTable } from '../../workloads/request-table.js';

const METRICS: readonly BenchMetric[] = ['ttft', 'tpot', 'itl', 'e2el', 'client_queue_time'];
const failures: readonly RequestFailure[] = [
  { reason: 'http-error', status: 503, body: 'busy', retryAfterSeconds: 2 },
  { reason: 'truncated', message: 'The stream ended.' },
  { reason: 'aborted', message: 'The run was interrupted.' },
];
const seconds = (max: number) => fc.double({ min: 0, max, noNaN: true });

/** What one request did, in the time after it could leave. */
const story = fc.record({
  gap: seconds(0.01),
  lag: seconds(0.004),
  gaps: fc.array(seconds(0.1), { maxLength: 6 }),
  failure: fc.option(fc.constantFrom(...failures), { freq: 5 }),
  usage: fc.option(fc.nat(2000)),
  text: fc.string({ maxLength: 5 }),
});

/** The requests of one thread with `limit` places, each place used in the order in which it became free. */
function recordsOf(stories: readonly (typeof story extends fc.Arbitrary<infer T> ? T : never)[], limit: number) {
  const places = new Array<number>(limit).fill(0);
  let intendedStart = 0;
  return stories.map(({ gap, lag, gaps, failure, usage, text }, index): RequestRecord => {
    intendedStart += gap;
    places.sort((a, b) => a - b);
    const readyAt = Math.max(intendedStart, places.shift() ?? 0);
    const sentAt = readyAt + lag;
    const tokenTimes = new Float64Array(gaps.length + 1);
    let time = sentAt + 0.05;
    for (let token = 0; token < tokenTimes.length; token += 1) {
      tokenTimes[token] = time;
      time += gaps[token] ?? 0;
    }
    const endedAt = time + 0.001;
    places.push(endedAt);
    return {
      index,
      intendedStart,
      readyAt,
      sentAt,
      bodySentAt: sentAt + 1e-5,
      headersAt: sentAt + 0.04,
      firstByteAt: null,
      firstTokenAt: tokenTimes[0] ?? null,
      tokenTimes,
      endedAt,
      status: failure?.reason === 'aborted' ? null : 200,
      promptTokens: usage,
      completionTokens: tokenTimes.length,
      cachedTokens: usage,
      finishReason: failure === null ? 'length' : null,
      text,
      outcome: failure === null ? { state: 'ok' } : { state: 'failed', ...failure },
    };
  });
}

function allFigures(table: RequestTable) {
  const rows = [...table].map((record) => toBenchRequest(record, 9, record.completionTokens ?? 1, ''));
  const requests = new BenchRequests(table.size, table.tokenTimes, rows, false);
  return {
    figures: benchFigures(requests, 10, { ttft: 60, tpot: 50 }),
    statistics: METRICS.map((metric) => statisticsOf(metric, metricValues(metric, requests), [50, 99, 99.9])),
    described: describeTable(table),
    lags: sendLagsMs(table, 1),
    failures: table.failures(),
  };
}

test('keeps everything that is known of a request', () => {
  fc.assert(
    fc.property(fc.array(story, { maxLength: 12 }), fc.integer({ min: 1, max: 5 }), (stories, limit) => {
      const records = recordsOf(stories, limit);
      expect([...RequestTable.of(records)]).toEqual(records);
    }),
  );
});

test('what N threads measured, told in any order, is what one thread measured, to the last bit', () => {
  const dealt = fc.tuple(
    fc.array(fc.tuple(story, fc.nat(3), fc.nat(1000)), { minLength: 1, maxLength: 40 }),
    fc.integer({ min: 1, max: 8 }),
  );
  fc.assert(
    fc.property(dealt, ([requests, limit]) => {
      const records = recordsOf(
        requests.map(([one]) => one),
        limit,
      );
      const merged = new RequestTable(records.length);
      // Thread by thread, in the order in which each tells; a thread only knows when a place of its own was free.
      const told = records.map((record, index) => ({
        record,
        thread: requests[index]?.[1] ?? 0,
        at: requests[index]?.[2] ?? 0,
      }));
      for (const { record } of told.sort((a, b) => a.thread - b.thread || a.at - b.at)) {
        merged.add({ ...record, readyAt: record.sentAt ?? 0 }, true);
      }
      merged.settleReadyTimes(limit, 0);
      expect(allFigures(merged)).toEqual(allFigures(RequestTable.of(records)));
      expect([...merged]).toEqual(records);
    }),
  );
});

test('without a limit a request is ready when it is due; one that never left has no lag', () => {
  const [first, second] = recordsOf(
    [0, 1].map(() => ({ gap: 0.5, lag: 0.002, gaps: [], failure: null, usage: null, text: '' })),
    1,
  );
  const table = new RequestTable(3);
  for (const record of [second, first]) {
    if (record !== undefined) {
      table.add(record, false);
    }
  }
  table.settleReadyTimes(Number.POSITIVE_INFINITY, 0);
  expect([...table].map(({ readyAt }) => readyAt)).toEqual([0.5, 1]);
  expect([table.size, table.at(2)]).toEqual([2, undefined]);
});

test('a long run costs 95 bytes a request and 8 a token', () => {
  const [record] = recordsOf(
    [{ gap: 0, lag: 0, gaps: new Array(49).fill(0.01), failure: null, usage: 7, text: 'x' }],
    1,
  );
  const before = process.memoryUsage();
  const table = new RequestTable(20_000);
  for (let index = 0; index < table.capacity && record !== undefined; index += 1) {
    table.add({ ...record, index }, false);
  }
  const after = process.memoryUsage();
  const buffers = after.arrayBuffers - before.arrayBuffers;
  expect(buffers).toBeLessThan(20_000 * (95 + 50 * 8) * 1.1 + 512 * 1024);
  expect(table.size).toBe(20_000);
});

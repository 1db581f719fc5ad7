import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { arrivalTimes } from '../../workloads/bench/arrivals.js';
import type { BenchServeOptions } from '../../workloads/bench/options.js';
import { runBenchServe } from '../../workloads/bench-serve.js';
import { parseEndpoint, serialiseRequest } from '../../workloads/endpoint.js';
import { monotonicOffsetMs } from '../../workloads/workers/monotonic-clock.js';
import { readyWorkers, shareOf } from '../../workloads/workers/ready-workers.js';
import { SharedRequests, shareRequests } from '../../workloads/workers/shared-requests.js';
import { busiestSecond, chooseWorkers } from '../../workloads/workers/worker-count.js';
import { type FakeOpenAiOptions, startFakeOpenAi } from '../fixtures/fake-openai.js';
import type { RawHttpServer } from '../fixtures/raw-http-server.js';

const tokenizerDirectory = new URL('../fixtures/workloads/tokenizers/qwen-style-bpe', import.meta.url).pathname;

let server: RawHttpServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

async function run(
  options: Partial<BenchServeOptions>,
  fake: FakeOpenAiOptions = {},
  signal = new AbortController().signal,
) {
  server = await startFakeOpenAi(fake);
  const result = await runBenchServe(
    { baseUrl: server.baseUrl, model: 'm' },
    {
      backend: 'openai',
      numPrompts: 60,
      randomInputLen: 8,
      randomOutputLen: 3,
      requestIdPrefix: 'r-',
      workers: 2,
      tokenizerDirectory,
      signal,
      ...options,
    },
  );
  const ids = server.requests.flatMap(({ headers }) => headers['x-request-id'] ?? []);
  return { result, ids };
}

/** Answers that take a while, so that many are in flight; counts how many. */
function countingServer() {
  const counts = { now: 0, most: 0 };
  const intercept: FakeOpenAiOptions['intercept'] = async () => {
    counts.now += 1;
    counts.most = Math.max(counts.most, counts.now);
    await new Promise((resolve) => setTimeout(resolve, 15));
    // Before the answer is written: its end frees a place over there.
    counts.now -= 1;
    return false;
  };
  return { counts, intercept };
}

describe('sending from several threads', () => {
  test('every request leaves once, never more than the limit at a time, and the result is whole', async () => {
    const { counts, intercept } = countingServer();
    const { result, ids } = await run({ maxConcurrency: 7, saveDetailed: true }, { intercept });
    expect(ids.toSorted()).toEqual(Array.from({ length: 60 }, (_, index) => `r-${index}`).toSorted());
    expect(counts.most).toBe(7);
    expect(result.json).toMatchObject({ completed: 60, failed: 0, total_output_tokens: 180, max_concurrency: 7 });
    expect(result.json.generated_texts?.every((text) => text === 't0 t1 t2 ')).toBe(true);
    const { threads = [] } = result.clientHealth;
    expect(result.json.lmcache_ci.workers).toBe(2);
    expect(threads.reduce((sum, { requests }) => sum + requests, 0)).toBe(60);
    expect(Math.min(...threads.map(({ requests }) => requests))).toBeGreaterThan(5);
    // One clock: the first seven leave at the start, each other one when an answer before it has ended.
    const records = result.records.toSorted((a, b) => a.endedAt - b.endedAt);
    for (const record of result.records) {
      expect(record.sentAt).toBeGreaterThanOrEqual(record.index < 7 ? 0 : (records[0]?.endedAt ?? 0));
      expect(record.firstTokenAt).toBeGreaterThan(record.sentAt ?? 0);
    }
    expect(result.json.duration).toBe(records.at(-1)?.endedAt);
  });

  test('a schedule is kept by all of them together', async () => {
    const { result } = await run({ requestRate: 300, numPrompts: 90 });
    expect(result.json.completed).toBe(90);
    for (const { sentAt, intendedStart, readyAt } of result.records) {
      expect(readyAt).toBe(intendedStart);
      expect(sentAt).toBeGreaterThanOrEqual(intendedStart);
    }
    expect(result.records.at(-1)?.intendedStart).toBeCloseTo(0.3, 9);
  });

  test('failures are told as they are from one thread', async () => {
    const { result } = await run(
      { keepTexts: false },
      {
        intercept: async (exchange, request) => {
          if (request % 3 === 0) {
            await exchange.answer(429, 'slow down', { 'retry-after': '7' });
          }
          return request % 3 === 0;
        },
      },
    );
    expect(result.json).toMatchObject({ completed: 40, failed: 20, lmcache_ci: { failures: { 'http-429': 20 } } });
    expect(result.table.failures()[0]).toMatchObject({ reason: 'http-error', body: 'slow down', retryAfterSeconds: 7 });
  });

  test('an abort ends all of them: every request has one record', async () => {
    const interruption = new AbortController();
    let done = 0;
    const { result } = await run(
      {
        maxConcurrency: 6,
        numPrompts: 500,
        onRecord: () => {
          done += 1;
          if (done === 10) {
            interruption.abort();
          }
        },
      },
      { tokenGapMs: 10 },
      interruption.signal,
    );
    expect(result.interrupted).toBe(true);
    expect(result.json.lmcache_ci).toMatchObject({ stopped_by: 'signal', valid: false });
    expect(result.table.size).toBe(500);
    expect(result.json.completed).toBeLessThan(200);
    expect(result.json.completed + (result.json.lmcache_ci.failures['aborted'] ?? 0)).toBe(500);
  });

  test('whoever listens fails: the run does, and no thread stays', async () => {
    server = await startFakeOpenAi();
    const { baseUrl } = server;
    const { signal } = new AbortController();
    const endpoint = parseEndpoint(baseUrl);
    const parts = serialiseRequest(
      endpoint,
      { baseUrl, model: 'm' },
      '/v1/completions',
      { prompt: '', max_tokens: 1 },
      null,
    );
    const send = await readyWorkers(endpoint, [{ parts, intendedStart: 0, expectedTokens: 1 }], {
      workers: 1,
      maxInFlight: null,
      requestTimeoutSeconds: 5,
      speed: 1,
      needsTexts: true,
      signal,
      onRecord: () => {
        throw new Error('the disk is full');
      },
    });
    await expect(send()).rejects.toThrow('the disk is full');
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(process.getActiveResourcesInfo().filter((name) => name === 'Worker')).toEqual([]);
  });
});

describe('how many threads', () => {
  const demand = (perSecond: number, seconds = 2) => ({
    dueSeconds: Array.from({ length: perSecond * seconds }, (_, index) => (index + 1) / perSecond),
    maxConcurrency: null,
  });
  const atOnce = (count: number, maxConcurrency: number | null = null) => ({
    dueSeconds: new Array<number>(count).fill(0),
    maxConcurrency,
  });

  test.each([
    ['a low rate', 'auto', demand(100), 16, 1],
    ['as much as one is good for', 'auto', demand(5900), 16, 1],
    ['20,000 a second', 'auto', demand(20_000), 16, 4],
    ['... on two cores', 'auto', demand(20_000), 2, 1],
    ['... on one core', 'auto', demand(20_000), 1, 1],
    ['a few streams', 'auto', atOnce(2000, 512), 16, 1],
    ['many streams', 'auto', atOnce(5000, 2000), 16, 4],
    ['all at once', 'auto', atOnce(1100), 16, 3],
    ['a number', 3, demand(100), 2, 3],
    ['more than places', 8, atOnce(100, 4), 16, 4],
    ['more than requests', 8, atOnce(3), 16, 3],
    ['nothing to send', 'auto', atOnce(0), 16, 1],
  ] as const)('%s', (_, asked, load, cores, workers) => {
    expect(chooseWorkers(asked, load, cores)).toBe(workers);
  });

  test('a schedule of 20,000 requests a second is whole, ends on time and asks for four threads', () => {
    const dueSeconds = arrivalTimes({ count: 40_000, requestRate: 20_000, burstiness: 1, seed: 3 });
    expect(dueSeconds.at(-1)).toBeCloseTo(2, 9);
    expect(dueSeconds.every((due, index) => due >= (dueSeconds[index - 1] ?? 0))).toBe(true);
    expect(Math.abs(busiestSecond(dueSeconds) - 20_000)).toBeLessThan(1000);
    expect(chooseWorkers('auto', { dueSeconds, maxConcurrency: null }, 16)).toBe(4);
  });

  test('a busy second counts wherever it is', () => {
    const dueSeconds = [0, 0.5, 5, 5.2, 5.3, 5.99, 6.0, 6.1, 9];
    expect(busiestSecond(dueSeconds)).toBe(5);
    expect(busiestSecond([])).toBe(0);
  });

  test('places are divided so that all of them together are the limit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 64 }), (places, workers) => {
        const shares = Array.from({ length: workers }, (_, worker) => shareOf(places, workers, worker));
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(places);
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

test('shared requests are the requests', () => {
  const request = fc.record({
    parts: fc.array(
      fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
      { maxLength: 3 },
    ),
    intendedStart: fc.double({ min: 0, max: 1e6, noNaN: true }),
    expectedTokens: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(request), (requests) => {
      const shared = new SharedRequests(shareRequests(requests));
      expect(shared.length).toBe(requests.length);
      for (const [index, { parts, ...rest }] of requests.entries()) {
        const ours = shared.at(index);
        expect(Buffer.concat([...(ours?.parts ?? [])])).toEqual(Buffer.concat(parts));
        expect(ours).toMatchObject(rest);
      }
      expect(shared.at(-1)?.intendedStart).toBe(requests.at(-1)?.intendedStart);
      expect(shared.at(requests.length)).toBeUndefined();
    }),
  );
});

test("a thread's clock is told to the microsecond", () => {
  const offsets = Array.from({ length: 20 }, monotonicOffsetMs);
  expect(Math.max(...offsets) - Math.min(...offsets)).toBeLessThan(0.05);
});

import { afterEach, describe, expect, test } from 'vitest';
import { type LongDocQaOptions, prepareLongDocQa, runLongDocQa } from '../../workloads/long-doc-qa.js';
import {
  formatLongDocQaSummary,
  longDocQaAnswers,
  queryRoundCsv,
  warmupRoundCsv,
} from '../../workloads/long-doc-qa-files.js';
import { PythonRandom } from '../../workloads/python-random.js';
import { ttftSeconds } from '../../workloads/request.js';
import type { WorkloadProgress } from '../../workloads/target.js';
import { type FakeOpenAiOptions, promptOf, startFakeOpenAi } from '../fixtures/fake-openai.js';
import type { RawHttpServer } from '../fixtures/raw-http-server.js';

let server: RawHttpServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

const small = { documentLength: 5, numDocuments: 3, outputLen: 2, repeatMode: 'tile', maxInflightRequests: 2 } as const;

async function run(
  options: Partial<LongDocQaOptions> = {},
  fake: FakeOpenAiOptions = {},
  signal = new AbortController().signal,
) {
  server = await startFakeOpenAi(fake);
  const progress: WorkloadProgress[] = [];
  const result = await runLongDocQa(
    { baseUrl: server.baseUrl, model: 'm' },
    { ...small, ...options, signal, onProgress: (state) => progress.push(state) },
  );
  return { result, progress, bodies: server.requests.map((request) => JSON.parse(request.body)) };
}

describe('the plan', () => {
  test('pre-warm, documents, and the query round in each mode', () => {
    const tile = prepareLongDocQa({ documentLength: 2, numDocuments: 2, repeatCount: 2, repeatMode: 'tile' });
    expect(tile.preWarm.map((prompt) => [prompt.slice(0, 8), prompt.split(' ').length])).toEqual(
      [0, 1, 2, 3, 4].map((index) => [`${index}xxhi hi`, 1000]),
    );
    expect(tile.documents).toEqual(['0 hi hi', '1 hi hi']);
    const order = (mode: 'tile' | 'interleave' | 'random', shuffleSeed = 0) =>
      prepareLongDocQa({
        documentLength: 1,
        numDocuments: 4,
        repeatCount: 2,
        repeatMode: mode,
        shuffleSeed,
      }).queries.map(({ prompt }) => Number(prompt.split(' ')[0]));
    expect(order('tile')).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
    expect(order('interleave')).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
    const shuffled = [0, 1, 2, 3, 0, 1, 2, 3];
    new PythonRandom(7).shuffle(shuffled);
    expect(order('random', 7)).toEqual(shuffled);
  });

  test('upstream defaults', () => {
    const plan = prepareLongDocQa({});
    expect([plan.documents.length, plan.queries.length, plan.documents[0]?.split(' ').length]).toEqual([8, 16, 20_001]);
    expect(plan.queries.every(({ isMiss }) => !isMiss)).toBe(true);
  });

  test('misses are drawn behind the shuffle, from the same generator', () => {
    const { queries } = prepareLongDocQa({
      documentLength: 1,
      numDocuments: 3,
      hitMissRatio: { hit: 2, miss: 1 },
      shuffleSeed: 5,
    });
    const random = new PythonRandom(5);
    const documents = ['0 hi', '1 hi', '2 hi', '0 hi', '1 hi', '2 hi'];
    random.shuffle(documents);
    expect(queries).toEqual(
      documents.map((document, index) =>
        index % 3 === 2
          ? { prompt: `${random.randint(-10_000_000, 10_000_000)} ${document}`, isMiss: true }
          : { prompt: document, isMiss: false },
      ),
    );
  });

  test('nonsense is refused by name', () => {
    expect(() => prepareLongDocQa({ numDocuments: 0 })).toThrow('numDocuments');
    expect(() => prepareLongDocQa({ documentLength: 1.5 })).toThrow('"1.5"');
    expect(() => prepareLongDocQa({ hitMissRatio: { hit: 0, miss: 0 } })).toThrow('"0:0"');
  });
});

describe('the run', () => {
  test('sends pre-warm, warm-up and queries in this order, with these bodies', async () => {
    const { result, bodies, progress } = await run();
    expect(bodies).toHaveLength(5 + 3 + 6);
    expect(bodies.slice(0, 5).every((body) => /^\dxxhi/.test(promptOf(body)))).toBe(true);
    expect(bodies.slice(5, 8).map(promptOf).sort()).toEqual([
      '0 hi hi hi hi hi',
      '1 hi hi hi hi hi',
      '2 hi hi hi hi hi',
    ]);
    expect(bodies[5]).toEqual({
      model: 'm',
      messages: [{ role: 'user', content: expect.stringContaining('hi hi') }],
      stream: true,
      max_tokens: 2,
      temperature: 0,
      stream_options: { include_usage: true },
    });
    expect([result.warmup.length, result.query.length, result.failed, result.interrupted]).toEqual([3, 6, 0, false]);
    expect(new Set(progress.map((state) => state.phase))).toEqual(new Set(['pre-warm', 'warm-up', 'query']));
    expect(progress.at(-1)).toMatchObject({ phase: 'query', done: 6, total: 6, failed: 0, inFlight: 0 });
    expect(progress.at(-1)?.figures['TTFT s']).toBeGreaterThan(0);
    expect(result.simulated).toBeNull();
  });

  test('completions instead of chat, and a bias against the end', async () => {
    const { bodies } = await run({ completions: true, eosTokenId: 151645 });
    expect(bodies[5]).toMatchObject({ prompt: expect.stringContaining('hi'), logit_bias: { 151645: -100 } });
    expect(server?.requests[5]?.path).toBe('/v1/completions');
  });

  test('summary: mean TTFT of the queries that succeeded, round times per prompt', async () => {
    const { result } = await run({ trimFraction: 0.2 }, { tokenGapMs: 2 });
    const ttfts = result.query.map((record) => ttftSeconds(record) ?? 0).sort((a, b) => a - b);
    const trimmed = ttfts.slice(1, 5);
    expect(result.summary.query_ttft_per_prompt).toBeCloseTo(trimmed.reduce((a, b) => a + b, 0) / 4, 12);
    const lastEnd = Math.max(...result.query.map((record) => record.endedAt));
    expect(result.summary.query_round_time_per_prompt).toBeCloseTo(lastEnd / 6, 12);
    expect(result.summary.warmup_round_time_per_prompt).toBeGreaterThan(0);
  });

  test('a failing request is counted and reported, and is in no average', async () => {
    const { result } = await run(
      {},
      {
        intercept: async (exchange, request) => {
          if (request === 5 + 3 + 1) {
            await exchange.answer(500, 'no memory');
          }
          return request === 5 + 3 + 1;
        },
      },
    );
    expect(result.failed).toBe(1);
    const bad = result.query.filter((record) => record.outcome.state === 'failed');
    expect(bad).toHaveLength(1);
    const ttfts = result.query.flatMap((record) => (record.outcome.state === 'ok' ? [ttftSeconds(record) ?? 0] : []));
    expect(result.summary.query_ttft_per_prompt).toBeCloseTo(ttfts.reduce((a, b) => a + b, 0) / 5, 12);
    const row = queryRoundCsv(result.query, result.queryIsMiss).split('\n')[(bad[0]?.index ?? 0) + 1]?.split(',');
    expect([row?.[2], row?.[4], row?.[5]]).toEqual(['-1.0', 'False', 'False']);
    expect(longDocQaAnswers(result)).toContain('failed: HTTP 500: no memory');
  });

  test('no query succeeds: nothing was measured', async () => {
    const { result } = await run({}, { intercept: (exchange) => exchange.answer(503, 'dead').then(() => true) });
    expect(result.summary).toEqual({
      query_ttft_per_prompt: null,
      query_round_time_per_prompt: null,
      warmup_round_time_per_prompt: null,
    });
    expect(formatLongDocQaSummary(result.summary)).toContain('"query_ttft_per_prompt": null');
  });

  test('an abort gives what there is, marked', async () => {
    const controller = new AbortController();
    const { result } = await run(
      {},
      {
        intercept: (exchange, request) => {
          if (request === 6) {
            controller.abort(new Error('Ctrl-C'));
          }
          return exchange.socket.destroyed;
        },
      },
      controller.signal,
    );
    expect(result.interrupted).toBe(true);
    expect(result.query.every((record) => record.outcome.state === 'failed')).toBe(true);
    expect(result.summary.query_round_time_per_prompt).toBeNull();
  });

  test('against a simulated server everything is in its time', async () => {
    const versionHeaders = { 'x-lmcache-ci-simulated': 'h200', 'x-lmcache-ci-sim-speed': '100' };
    const before = performance.now();
    const { result } = await run({ sleepTimeAfterWarmupSeconds: 10 }, { versionHeaders, tokenGapMs: 5 });
    expect((performance.now() - before) / 1000).toBeLessThan(10);
    expect(result.simulated).toEqual({ profile: 'h200', speed: 100 });
    expect(result.summary.query_ttft_per_prompt).toBeGreaterThan(0.4);
  });
});

describe('the files', () => {
  test('have the columns, order and spelling of upstream', async () => {
    const { result } = await run({ hitMissRatio: { hit: 1, miss: 1 } });
    const warmup = warmupRoundCsv(result.warmup).split('\n');
    const query = queryRoundCsv(result.query, result.queryIsMiss).split('\n');
    expect(warmup[0]).toBe('prompt_id,request_start,ttft,request_end,successful,ttft_time,is_miss');
    expect(query[0]).toBe('prompt_id,request_start,ttft,request_end,successful,is_miss,ttft_time');
    const [first] = result.query;
    const cells = query[1]?.split(',') ?? [];
    expect(cells.map((cell) => (Number.isNaN(Number(cell)) ? cell : Number(cell)))).toEqual([
      0,
      first?.sentAt,
      first && ttftSeconds(first),
      first?.endedAt,
      'True',
      'False',
      (first?.sentAt ?? 0) + ((first && ttftSeconds(first)) ?? 0),
    ]);
    expect(query[2]?.split(',')[5]).toBe('True');
    expect(warmup.slice(1, 4).map((line) => line.split(',')[6])).toEqual(['True', 'True', 'True']);
    expect([warmup.length, query.length]).toEqual([5, 8]);
  });

  test('the summary is one line, as Python prints it', () => {
    expect(
      formatLongDocQaSummary({
        query_ttft_per_prompt: 0.148,
        query_round_time_per_prompt: 1,
        warmup_round_time_per_prompt: 0.00001,
      }),
    ).toBe(
      '{"query_ttft_per_prompt": 0.148, "query_round_time_per_prompt": 1.0, "warmup_round_time_per_prompt": 1e-05}',
    );
  });

  test('the answers of both rounds', async () => {
    const { result } = await run({ numDocuments: 1, repeatCount: 1 });
    expect(longDocQaAnswers(result)).toBe(
      '------warm up round------\nResponse of request 0: t0 t1 \n------query round------\nResponse of request 0: t0 t1 \n',
    );
  });
});

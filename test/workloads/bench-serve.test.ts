import { afterEach, describe, expect, test } from 'vitest';
import { BenchRequests, benchFigures, metricValues, statisticsOf } from '../../workloads/bench/bench-metrics.js';
import { loadLocalTokenizer } from '../../workloads/bench/local-tokenizer.js';
import type { BenchServeOptions } from '../../workloads/bench/options.js';
import { formatBenchServeJson } from '../../workloads/bench/result-json.js';
import { prepareBenchServe, replayPrompts, runBenchServe } from '../../workloads/bench-serve.js';
import { mean, percentile } from '../../workloads/statistics.js';
import { type FakeOpenAiOptions, promptOf, startFakeOpenAi } from '../fixtures/fake-openai.js';
import type { RawHttpServer } from '../fixtures/raw-http-server.js';
import recordedMetrics from '../fixtures/workloads/bench-metrics.json' with { type: 'json' };

const tokenizerDirectory = new URL('../fixtures/workloads/tokenizers/qwen-style-bpe', import.meta.url).pathname;
const { signal } = new AbortController();

let server: RawHttpServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

const small: BenchServeOptions = {
  backend: 'openai-chat',
  numPrompts: 6,
  randomInputLen: 24,
  randomOutputLen: 3,
  seed: 5,
  tokenizerDirectory,
};

async function run(options: Partial<BenchServeOptions> = {}, fake: FakeOpenAiOptions = {}, abort = signal) {
  server = await startFakeOpenAi(fake);
  const result = await runBenchServe({ baseUrl: server.baseUrl, model: 'm' }, { ...small, ...options, signal: abort });
  return { result, bodies: server.requests.map((request) => JSON.parse(request.body)) };
}

describe.each(recordedMetrics.cases.map((recordedCase) => ({ count: recordedCase.requests.length, recordedCase })))(
  'figures equal those of calculate_metrics to the last bit ($count requests)',
  ({ recordedCase }) => {
    const requests = BenchRequests.of(recordedCase.requests);
    const { metrics } = recordedCase;

    test('totals and peaks', () => {
      const figures = benchFigures(requests, recordedCase.duration, recordedCase.goodput);
      expect(figures).toMatchObject({
        completed: metrics.completed,
        failed: metrics.failed,
        totalInput: metrics.total_input,
        totalOutput: metrics.total_output,
        maxOutputTokensPerSecond: metrics.max_output_tokens_per_s,
        maxConcurrentRequests: metrics.max_concurrent_requests,
      });
      if (Object.keys(recordedCase.goodput).length > 0) {
        expect(figures.goodRequests / recordedCase.duration).toBe(metrics.request_goodput);
      }
    });

    test.each(['ttft', 'tpot', 'itl', 'e2el'] as const)('%s', (metric) => {
      const expected: Record<string, unknown> = metrics;
      const ours = statisticsOf(metric, metricValues(metric, requests), [50, 99, 99.9]);
      expect(ours[`mean_${metric}_ms`]).toBe(expected[`mean_${metric}_ms`]);
      expect(ours[`median_${metric}_ms`]).toBe(expected[`median_${metric}_ms`]);
      expect(ours[`std_${metric}_ms`]).toBe(expected[`std_${metric}_ms`]);
      expect([50, 99, 99.9].map((percent) => [percent, ours[`p${percent}_${metric}_ms`]])).toEqual(
        expected[`percentiles_${metric}_ms`],
      );
    });
  },
);

describe('what is sent', () => {
  test('chat bodies, ids, and the prompts of the data set', async () => {
    const { result, bodies } = await run();
    expect(bodies[0]).toEqual({
      model: 'm',
      messages: [{ role: 'user', content: [{ type: 'text', text: expect.any(String) }] }],
      max_completion_tokens: 3,
      stream: true,
      stream_options: { include_usage: true },
      ignore_eos: true,
    });
    expect(Object.keys(bodies[0])).toEqual([
      'model',
      'messages',
      'max_completion_tokens',
      'stream',
      'stream_options',
      'ignore_eos',
    ]);
    expect(new Set(bodies.map(promptOf))).toEqual(new Set(result.prompts.map((prompt) => prompt.text)));
    expect(server?.requests[0]?.headers['x-request-id']).toMatch(/^bench-[0-9a-f]{8}-\d+$/);
    expect(server?.requests[0]?.path).toBe('/v1/chat/completions');
  });

  test('completions bodies; extra members win', async () => {
    const { bodies } = await run({ backend: 'openai', ignoreEos: false, extraBody: { temperature: 0, max_tokens: 2 } });
    expect(Object.entries(bodies[0])).toEqual([
      ['model', 'm'],
      ['prompt', expect.any(String)],
      ['repetition_penalty', 1],
      ['max_tokens', 2],
      ['logprobs', null],
      ['stream', true],
      ['stream_options', { include_usage: true }],
      ['temperature', 0],
    ]);
    expect(server?.requests[0]?.path).toBe('/v1/completions');
  });

  test('warm-ups come first, with other content, and are not measured', async () => {
    const { result, bodies } = await run({ numWarmups: 3 });
    expect([bodies.length, result.warmup.length, result.records.length]).toEqual([9, 3, 6]);
    const timed = new Set(result.prompts.map((prompt) => prompt.text));
    expect(bodies.slice(0, 3).some((body) => timed.has(promptOf(body)))).toBe(false);
    expect(result.json.completed).toBe(6);
  });

  test('a rate is kept; the arrivals are those of the seed', async () => {
    const { result } = await run({ requestRate: 200 });
    expect(result.records.at(-1)?.intendedStart).toBeCloseTo(6 / 200, 12);
    for (const record of result.records) {
      expect(record.sentAt).toBeGreaterThanOrEqual(record.intendedStart);
    }
    expect(result.json.request_rate).toBe(200);
  });

  test('prompts made ahead are sent as they are', async () => {
    const plan = await prepareBenchServe({ model: 'm' }, { ...small, signal });
    expect(plan?.tokenizer).toBe(tokenizerDirectory);
    const { result } = await run(plan === null ? {} : { plan });
    expect(result.prompts).toBe(plan?.prompts);
  });

  test('a replay sends prompts again', async () => {
    const { result } = await run();
    const before = server?.requests.length ?? 0;
    const records = await replayPrompts({ baseUrl: server?.baseUrl ?? '', model: 'm' }, result.prompts.slice(0, 2), {
      signal,
    });
    expect(records.map((record) => record.outcome.state)).toEqual(['ok', 'ok']);
    expect(
      server?.requests
        .slice(before)
        .map((request) => promptOf(JSON.parse(request.body)))
        .sort(),
    ).toEqual(
      result.prompts
        .slice(0, 2)
        .map((prompt) => prompt.text)
        .sort(),
    );
  });
});

describe('the result file', () => {
  const SETUP = [
    'date',
    'endpoint_type',
    'backend',
    'label',
    'model_id',
    'tokenizer_id',
    'num_prompts',
    'request_rate',
    'burstiness',
    'max_concurrency',
  ];
  const STATISTICS = ['ttft', 'tpot', 'itl'].flatMap((metric) => [
    `mean_${metric}_ms`,
    `median_${metric}_ms`,
    `std_${metric}_ms`,
    `p99_${metric}_ms`,
  ]);

  test('has the keys of vllm bench serve, in its order', async () => {
    const { result } = await run();
    expect(Object.keys(result.json)).toEqual([
      ...SETUP,
      'duration',
      'completed',
      'failed',
      'total_input_tokens',
      'total_output_tokens',
      'request_throughput',
      'request_goodput',
      'output_throughput',
      'total_token_throughput',
      'latencies',
      'queue_times',
      'max_output_tokens_per_s',
      'max_concurrent_requests',
      'rtfx',
      ...STATISTICS,
      'lmcache_ci',
    ]);
    expect(result.json).toMatchObject({
      date: expect.stringMatching(/^\d{8}-\d{6}$/),
      endpoint_type: 'openai-chat',
      label: null,
      model_id: 'm',
      tokenizer_id: tokenizerDirectory,
      num_prompts: 6,
      request_rate: 'inf',
      burstiness: 1,
      max_concurrency: null,
      completed: 6,
      failed: 0,
      total_output_tokens: 18,
      request_goodput: null,
      rtfx: 0,
    });
  });

  test('detailed, with metadata, percentiles and a limit', async () => {
    const { result } = await run({
      saveDetailed: true,
      metadata: { version: '1', tp: '2' },
      percentiles: [50, 99.9],
      percentileMetrics: ['e2el', 'client_queue_time', 'e2el_including_client_queue'],
      maxConcurrency: 2,
      goodput: { e2el: 60_000 },
    });
    const keys = Object.keys(result.json);
    expect(keys.slice(7, 9)).toEqual(['version', 'tp']);
    expect(keys.slice(keys.indexOf('input_lens'), keys.indexOf('errors') + 1)).toEqual([
      'input_lens',
      'output_lens',
      'ttfts',
      'itls',
      'latencies',
      'start_times',
      'queue_times',
      'generated_texts',
      'errors',
    ]);
    expect(keys.slice(-11)).toEqual([
      ...['e2el', 'client_queue_time'].flatMap((metric) => [
        `mean_${metric}_ms`,
        `median_${metric}_ms`,
        `std_${metric}_ms`,
        `p50_${metric}_ms`,
        `p99.9_${metric}_ms`,
      ]),
      'lmcache_ci',
    ]);
    const { ttfts = [], itls = [], latencies } = result.json;
    for (const [index, latency] of latencies.entries()) {
      expect((ttfts[index] ?? 0) + (itls[index] ?? []).reduce((a, b) => a + b, 0)).toBeCloseTo(latency, 9);
    }
    expect(result.json['mean_e2el_ms']).toBe(mean(latencies) * 1000);
    expect(result.json['p99.9_e2el_ms']).toBe(percentile(latencies, 99.9) * 1000);
    expect(result.json.request_goodput).toBe(result.json.request_throughput);
    expect(result.json.generated_texts?.[0]).toBe('t0 t1 t2 ');
  });

  test('is written as Python writes it, and reads back equal', async () => {
    const { result } = await run({ saveDetailed: true, requestRate: 500 }, { tokenText: (_, index) => `é"${index}` });
    const text = formatBenchServeJson(result.json);
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(result.json)));
    expect(text).toMatch(/^\{"date": "\d{8}-\d{6}", "endpoint_type": "openai-chat", /);
    expect(text).toContain('"num_prompts": 6, "request_rate": 500.0, "burstiness": 1.0, "max_concurrency": null');
    expect(text).toContain('"rtfx": 0.0');
    expect(text).toContain('\\u00e9\\"0');
    expect(text).toMatch(/"max_output_tokens_per_s": \d+\.0, "max_concurrent_requests": 6,/);
    expect(text.endsWith('}')).toBe(true);
  });
});

describe('honesty', () => {
  test('failed requests are in no average and are named', async () => {
    const { result } = await run(
      { saveDetailed: true },
      {
        intercept: async (exchange, request) => {
          if (request === 1) {
            await exchange.answer(429, 'slow down');
          } else if (request === 2) {
            await exchange.startStream();
            await exchange.event({ error: { message: 'dead' } });
            await exchange.event('[DONE]');
            await exchange.endStream();
          }
          return request === 1 || request === 2;
        },
      },
    );
    expect(result.json).toMatchObject({ completed: 4, failed: 2, total_output_tokens: 12 });
    expect(result.json.lmcache_ci.failures).toEqual({ 'http-429': 1, 'in-band-error': 1 });
    const failed = result.records.findIndex((record) => record.outcome.state === 'failed');
    expect([result.json.ttfts?.[failed], result.json.output_lens?.[failed]]).toEqual([0, 0]);
    expect(result.json.errors?.join('')).toContain('HTTP 429: slow down');
    const ok = result.json.ttfts?.filter((_, index) => result.records[index]?.outcome.state === 'ok') ?? [];
    expect(result.json['mean_ttft_ms']).toBe(mean(ok) * 1000);
  });

  test('a server without usage: the text is counted by the tokenizer', async () => {
    const { result } = await run({}, { withUsage: false, tokenText: () => 'ba' });
    const tokenizer = await loadLocalTokenizer(tokenizerDirectory);
    const perAnswer = (await tokenizer.encode('bababa')).length;
    expect(result.json.total_output_tokens).toBe(6 * perAnswer);
    expect(result.json.total_input_tokens).toBe(result.prompts.reduce((total, prompt) => total + prompt.promptLen, 0));
  });

  test('an interrupted run says so and keeps what was done', async () => {
    const controller = new AbortController();
    const { result } = await run(
      { maxConcurrency: 1 },
      {
        intercept: (exchange, request) => {
          if (request === 2) {
            controller.abort();
          }
          return request === 2 && exchange.request.method === 'POST';
        },
      },
      controller.signal,
    );
    expect(result.interrupted).toBe(true);
    expect(result.json).toMatchObject({ completed: 2, failed: 4 });
    expect(result.json.lmcache_ci.interrupted).toBe(true);
  });

  test('simulated time is marked, and rates are those of the simulated server', async () => {
    const { result } = await run(
      { requestRate: 1 },
      { versionHeaders: { 'x-lmcache-ci-simulated': 'h200', 'x-lmcache-ci-sim-speed': '50' } },
    );
    expect(result.simulated).toEqual({ profile: 'h200', speed: 50 });
    expect(result.json.lmcache_ci.simulated).toEqual({ profile: 'h200', speed: 50 });
    expect(result.json.duration).toBeGreaterThanOrEqual(6);
    expect(result.clientHealth.wallSeconds).toBeLessThan(6);
  });
});

import { expect, test } from 'vitest';
import { benchVerdict } from '../../pipeline/commands/bench-verdict.js';
import { runBenchServe } from '../../workloads/bench-serve.js';
import { RequestTable } from '../../workloads/request-table.js';
import { startFakeOpenAi } from '../fixtures/fake-openai.js';

const tokenizerDirectory = new URL('../fixtures/workloads/tokenizers/qwen-style-bpe', import.meta.url).pathname;

async function measured(
  failing: (request: number) => boolean = () => false,
  { metrics, requestRate }: { metrics?: () => string; requestRate?: number } = {},
) {
  const server = await startFakeOpenAi({
    ...(metrics === undefined ? {} : { metrics }),
    intercept: async (exchange, request) => {
      if (failing(request)) await exchange.answer(503, 'busy');
      return failing(request);
    },
  });
  try {
    return await runBenchServe(
      { baseUrl: server.baseUrl, model: 'm' },
      {
        backend: 'openai',
        numPrompts: 3,
        randomInputLen: 8,
        randomOutputLen: 2,
        maxConcurrency: 1,
        ...(requestRate === undefined ? {} : { requestRate }),
        tokenizerDirectory,
        signal: new AbortController().signal,
      },
    );
  } finally {
    await server.close();
  }
}

test('all answered in time: 0', async () => {
  const result = await measured();
  const clientHealth = { ...result.clientHealth, overloaded: false, remedy: null };
  expect(benchVerdict({ ...result, clientHealth }, null).exitCode).toBe(0);
});

test('a client that did not keep up gives no verdict, and says the remedy', async () => {
  const result = await measured();
  const clientHealth = { ...result.clientHealth, overloaded: true, remedy: 'send fewer at once' };
  const verdict = benchVerdict({ ...result, clientHealth }, null);
  expect(verdict.exitCode).toBe(3);
  expect(verdict.lines.join('\n')).toContain('INVALID: send fewer at once');
});

test('some failed: 1, none succeeded: 3, interrupted: as the shell expects', async () => {
  const some = await measured((request) => request === 1);
  expect(benchVerdict(some, null)).toMatchObject({ exitCode: 1 });
  expect(benchVerdict(some, null).lines.join('\n')).toContain('1 of 3 requests failed; the first: HTTP 503: busy');
  expect(benchVerdict(await measured(() => true), null).exitCode).toBe(3);
  expect(benchVerdict(some, 'SIGTERM').exitCode).toBe(143);
});

test('says how much of the load came out of caches, by the metrics of a server whose usage does not tell', async () => {
  const pages = [
    'vllm:prefix_cache_hits_total{engine="0"} 100\n',
    'vllm:prefix_cache_hits_total{engine="0"} 106\nvllm:external_prefix_cache_hits_total{engine="0"} 6\n',
  ];
  const result = await measured(undefined, { metrics: () => pages.shift() ?? '' });
  expect(result.json.lmcache_ci.cached_tokens).toBe(12);
  const json = { ...result.json, total_input_tokens: 24 };
  expect(benchVerdict({ ...result, json }, null).lines.join('\n')).toContain(
    'came 12 of 24 prompt tokens (50.0 %): prompts that were sent before (the same --seed makes the same ones), or that',
  );
  const untold = await measured();
  expect(untold.json.lmcache_ci.cached_tokens).toBeNull();
  expect(benchVerdict(untold, null).lines.join('\n')).not.toContain('caches');
});

test('says so when a limit of concurrency has kept the rate down, and only then', async () => {
  const result = await measured(undefined, { requestRate: 20 });
  const sentAt = (late: number) => ({
    ...result,
    table: RequestTable.of(
      [...result.table].map((record) => ({ ...record, sentAt: record.intendedStart + record.index * late })),
    ),
  });
  const slow = benchVerdict(sentAt(1), null).lines.join('\n');
  expect(slow).toMatch(/^Sent were 1\.\d\d of 20\.00 requests a second: --max-concurrency 1 held them back\. TTFT/m);
  expect(benchVerdict(sentAt(0), null).lines.join('\n')).not.toContain('Sent were');
  const unlimited = { ...sentAt(1), json: { ...result.json, max_concurrency: null } };
  expect(benchVerdict(unlimited, null).lines.join('\n')).not.toContain('Sent were');
  const interrupted = { ...result.json, lmcache_ci: { ...result.json.lmcache_ci, interrupted: true } };
  expect(benchVerdict({ ...sentAt(1), json: interrupted }, 'SIGINT').lines.join('\n')).not.toContain('Sent were');
  const conversations = {
    configured_qps: 4,
    actual_qps: 1,
    processing_speed: 1,
    requests_on_the_fly: 0,
    input_tokens_per_second: 1,
    output_tokens_per_second: 1,
    average_generation_throughput_per_request: null,
    average_ttft: null,
  };
  const asked = {
    ...unlimited,
    json: {
      ...unlimited.json,
      num_prompts: 8,
      lmcache_ci: { ...result.json.lmcache_ci, multi_round_qa: conversations },
    },
  };
  expect(benchVerdict(asked, null).lines.join('\n')).toMatch(
    /^Sent were 1\.\d\d of 4\.00 requests a second: questions wait for the answers before them\. TTFT/m,
  );
});

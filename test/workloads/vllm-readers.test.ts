import { afterEach, describe, expect, test } from 'vitest';
import type { BenchServeOptions } from '../../workloads/bench/options.js';
import { formatBenchServeJson } from '../../workloads/bench/result-json.js';
import { runBenchServe } from '../../workloads/bench-serve.js';
import { startFakeOpenAi } from '../fixtures/fake-openai.js';
import type { RawHttpServer } from '../fixtures/raw-http-server.js';
import recorded from '../fixtures/workloads/vllm-readers.json' with { type: 'json' };

const tokenizerDirectory = new URL('../fixtures/workloads/tokenizers/qwen-style-bpe', import.meta.url).pathname;

/** Keys of a result file that hold figures, and the columns that vLLM's scripts make of them. */
const columns: Readonly<Record<string, string>> = {
  completed: '# of req.',
  request_throughput: 'Tput (req/s)',
  total_token_throughput: 'Total Token Tput (tok/s)',
  output_throughput: 'Output Tput (tok/s)',
  mean_ttft_ms: 'Mean TTFT (ms)',
  median_ttft_ms: 'Median TTFT (ms)',
  p99_ttft_ms: 'P99 TTFT (ms)',
  std_ttft_ms: 'STD TTFT (ms)',
  mean_tpot_ms: 'Mean TPOT (ms)',
  median_tpot_ms: 'Median',
  p99_tpot_ms: 'P99',
  std_tpot_ms: 'STD TPOT (ms)',
  mean_itl_ms: 'Mean ITL (ms)',
  median_itl_ms: 'Median ITL (ms)',
  p99_itl_ms: 'P99 ITL (ms)',
};

let server: RawHttpServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

/** The text of a result file, read as a consumer does. */
async function resultFile(options: Partial<BenchServeOptions>): Promise<Record<string, unknown>> {
  server = await startFakeOpenAi({});
  const { signal } = new AbortController();
  const { json } = await runBenchServe(
    { baseUrl: server.baseUrl, model: 'm' },
    {
      backend: 'openai',
      numPrompts: 6,
      randomInputLen: 24,
      randomOutputLen: 3,
      tokenizerDirectory,
      metadata: { tensor_parallel_size: '2' },
      signal,
      ...options,
    },
  );
  return JSON.parse(formatBenchServeJson(json));
}

describe.each([{ saveDetailed: false }, { saveDetailed: true, maxConcurrency: 2, requestRate: 500 }])(
  'a file of ours, %o, is read as one of vllm bench serve by',
  (options) => {
    test('save_to_pytorch_benchmark_format: a record for each of its twelve metrics, the rest as extra information', async () => {
      const results = await resultFile(options);
      // vllm/benchmarks/serve.py, 0.32.0: these keys, each value in a list of one.
      const metrics = ['ttft', 'tpot', 'itl'].flatMap((name) =>
        ['median', 'mean', 'std', 'p99'].map((statistic) => `${statistic}_${name}_ms`),
      );
      for (const metric of metrics) {
        expect(results[metric], metric).toEqual(expect.any(Number));
      }
      const ignored = ['ttfts', 'itls', 'generated_texts', 'errors'];
      const extra = Object.keys(results).filter((key) => !metrics.includes(key) && !ignored.includes(key));
      // The reader takes the parallelism from the metadata, the run's mode from keys that must not be there by chance.
      expect(results['tensor_parallel_size']).toBe('2');
      expect(extra).not.toContain('compilation_config.mode');
      expect(extra).not.toContain('optimization_level');
      const record = { metric: { extra_info: Object.fromEntries(extra.map((key) => [key, results[key]])) } };
      expect(JSON.stringify(record)).not.toMatch(/NaN|Infinity/);
    });

    test('convert-results-json-to-markdown.py and compare-json-results.py: the columns they rename, group and divide', async () => {
      const results = await resultFile(options);
      // What the first adds from the two command lines beside the file.
      const row: Record<string, unknown> = {
        ...results,
        ...{ tp_size: 2, dataset_name: 'random', input_len: 24, output_len: 3, qps: 'inf', test_name: 'serving_x' },
      };
      const renamed = Object.fromEntries(Object.entries(columns).map(([key, title]) => [title, row[key]]));
      expect(row['model_id']).toBe('m');
      for (const [title, value] of Object.entries(renamed)) {
        expect(value, title).toEqual(expect.any(Number));
      }
      expect(row['max_concurrency']).toBe(options.maxConcurrency ?? null);
      // None of the columns it gets from elsewhere may be hidden by a key of ours.
      for (const name of ['dataset_name', 'input_len', 'output_len', 'qps', 'test_name', 'gpu_type', 'dtype']) {
        expect(Object.keys(results)).not.toContain(name);
      }
      // "Ratio 1 vs 2" divides by these.
      for (const title of ['Output Tput (tok/s)', 'P99 TTFT (ms)', 'Median TTFT (ms)']) {
        expect(renamed[title], title).toBeGreaterThan(0);
      }
    });
  },
);

describe("what vLLM's own scripts read from a file of ours, recorded", () => {
  test('is what the file says', () => {
    for (const [key, title] of Object.entries(columns)) {
      expect(Reflect.get(recorded.row, title), title).toBeCloseTo(Reflect.get(recorded.file, key), 6);
    }
    expect(recorded.row).toMatchObject({ Model: 'm', '# of max concurrency.': 8 });
    for (const title of ['Output Tput (tok/s)', 'P99 TTFT (ms)', 'P99'] as const) {
      expect(recorded.comparison[title][1]).toBe(Number(recorded.row[title].toFixed(2)));
    }
  });

  test('is in every file of ours still, of the same kind and in the same order', async () => {
    const results = await resultFile({ saveDetailed: true, maxConcurrency: 8 });
    expect(Object.keys(results)).toEqual(recorded.keys);
    const kinds = (file: object) => Object.entries(file).map(([key, value]) => [key, value === null || typeof value]);
    const scalars = Object.fromEntries(Object.entries(results).filter(([key]) => key in recorded.file));
    expect(kinds(scalars)).toEqual(kinds(recorded.file));
  });
});

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { type RequestRecord, ttftSeconds } from '../../workloads/request.js';
import { summarise } from '../../workloads/statistics.js';
import { type FakeOpenAiOptions, startFakeOpenAi } from '../fixtures/fake-openai.js';
import type { RawHttpServer } from '../fixtures/raw-http-server.js';
import recorded from '../fixtures/workloads/bench-runs.json' with { type: 'json' };
import { type Bench, test as base, root } from './bench.js';

const tokenizer = path.join(root, 'test', 'fixtures', 'workloads', 'tokenizers', 'qwen-style-bpe');
const shape = ['--model', 'm', '--tokenizer', tokenizer, '--random-input-len', '12', '--random-output-len=3'];

const test = base.extend<{ serve: (options?: FakeOpenAiOptions) => Promise<RawHttpServer> }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the fixtures that are used from this pattern
  serve: async ({}, use) => {
    const servers: RawHttpServer[] = [];
    await use(async (options) => {
      const server = await startFakeOpenAi(options);
      servers.push(server);
      return server;
    });
    await Promise.all(servers.map((server) => server.close()));
  },
});

function savedFile(bench: Bench, name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path.join(bench.directory, 'work', name), 'utf8'));
}

function labels(table: string): string[] {
  return table.split('\n').map((line) => line.replace(/[\d.]+ *$/, '').trim());
}

describe('lmcache-ci bench', () => {
  test('prints the table and writes the file of vllm bench serve', async ({ bench, serve }) => {
    const { baseUrl } = await serve();
    const [peer] = recorded.cases;
    const ended = await bench.run([
      'bench',
      ...['--base-url', baseUrl, ...shape, '--num-prompts', '12', '--max-concurrency', '4', '--request-rate', '200'],
      ...['--goodput', 'ttft:200', 'e2el:900', '--metadata', 'a=b', 'c=d', '--metric-percentiles', '50,99.9'],
      ...['--percentile-metrics', 'ttft,tpot,itl,e2el,client_queue_time,e2el_including_client_queue'],
      ...['--save-result', '--save-detailed', '--result-dir', 'results', '--result-filename', 'rate.json'],
    ]);
    // A busy machine may make the client late, which is said and ends with 3.
    expect(ended.code === 0 || (ended.code === 3 && ended.stderr.includes('INVALID')), ended.output).toBe(true);
    const table = ended.stdout.slice(ended.stdout.indexOf('============ Serving'));
    expect(labels(table)).toEqual(labels(peer?.table ?? ''));
    const file = savedFile(bench, 'results/rate.json');
    expect(Object.keys(file)).toEqual([...Object.keys(peer?.file ?? {}), 'lmcache_ci']);
    expect(file).toMatchObject({ completed: 12, failed: 0, num_prompts: 12, request_rate: 200, a: 'b', c: 'd' });
    expect(ended.stderr).toContain('requests 12/12');
  });

  test('starts without what takes long to load', async ({ bench, serve }) => {
    const { baseUrl } = await serve();
    const coverage = path.join(bench.directory, 'coverage');
    const ended = await bench.run(['bench', '--base-url', baseUrl, ...shape, '--num-prompts', '1'], {
      NODE_V8_COVERAGE: coverage,
    });
    expect(ended.stdout, ended.output).toContain('Successful requests');
    const [file = ''] = readdirSync(coverage);
    const { result } = JSON.parse(readFileSync(path.join(coverage, file), 'utf8'));
    const packages = result.flatMap(
      ({ url }: { url: string }) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? [],
    );
    expect([...new Set(packages)]).toEqual(['@huggingface/tokenizers']);
  });

  test('what several threads measured is told whole: the file says what the log of all requests says', async ({
    bench,
    serve,
  }) => {
    const server = await serve({
      intercept: async (exchange, request) => {
        const isRefused = exchange.request.path.endsWith('completions') && request % 9 === 4;
        if (isRefused) await exchange.answer(503, 'full', { 'retry-after': '1' });
        return isRefused;
      },
    });
    const ended = await bench.run([
      'bench',
      ...['--base-url', server.baseUrl, ...shape, '--num-prompts', '120', '--max-concurrency', '6', '--workers', '3'],
      ...['--request-log', 'log.jsonl', '--save-result', '--save-detailed', '--result-filename', 'workers.json'],
      ...['--percentile-metrics', 'ttft,tpot,itl,e2el', '--metric-percentiles', '50,99,99.9'],
    ]);
    expect(ended.code, ended.output).toBe(1);
    const file = savedFile(bench, 'workers.json');
    const lines = readFileSync(path.join(bench.directory, 'work', 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    const log = lines.map((line): RequestRecord => JSON.parse(line)).toSorted((a, b) => a.index - b.index);
    expect(log.map(({ index }) => index)).toEqual(Array.from({ length: 120 }, (_, index) => index));
    const good = log.filter(({ outcome }) => outcome.state === 'ok');
    expect(good.length).toBeLessThan(115);
    expect(file).toMatchObject({
      completed: good.length,
      failed: 120 - good.length,
      total_output_tokens: good.length * 3,
    });
    expect(file['lmcache_ci']).toMatchObject({ workers: 3, failures: { 'http-503': 120 - good.length } });
    const figures = {
      ttft: good.map((record) => ttftSeconds(record) ?? 0),
      itl: good.flatMap(({ tokenTimes }) =>
        Array.from(tokenTimes)
          .slice(1)
          .map((time, token) => time - (tokenTimes[token] ?? 0)),
      ),
      e2el: good.map(({ sentAt, tokenTimes }) => (tokenTimes[2] ?? 0) - (sentAt ?? 0)),
    };
    for (const [name, seconds] of Object.entries(figures)) {
      const ms = seconds.map((value) => value * 1000);
      const { mean, median, percentiles } = summarise(ms, [50, 99, 99.9]);
      expect(file[`mean_${name}_ms`], name).toBeCloseTo(mean, 6);
      expect(file[`median_${name}_ms`], name).toBeCloseTo(median, 6);
      for (const [index, percent] of ['50', '99', '99.9'].entries()) {
        expect(file[`p${percent}_${name}_ms`], name).toBeCloseTo(percentiles[index] ?? 0, 6);
      }
    }
    expect(file['duration']).toBe(Math.max(...log.map(({ endedAt }) => endedAt)));
    // One clock for all threads. In the log a request waited for a place of its own thread: two of the six each.
    const endings = new Set([0, ...log.map(({ endedAt }) => endedAt)]);
    const inFlight = (time: number): number =>
      log.filter(({ sentAt, endedAt }) => (sentAt ?? 0) <= time && time < endedAt).length;
    for (const { readyAt, sentAt } of log) {
      expect(endings.has(readyAt)).toBe(true);
      expect(sentAt).toBeGreaterThanOrEqual(readyAt);
      expect(inFlight(sentAt ?? 0)).toBeLessThanOrEqual(6);
    }
  });

  test('a ramp is in the file and in its name', async ({ bench, serve }) => {
    const { baseUrl } = await serve();
    const peer = recorded.cases[1];
    const ended = await bench.run([
      'bench',
      ...['--base-url', baseUrl, ...shape, '--num-prompts', '9', '--save-result', '--result-filename', 'ramp.json'],
      ...['--ramp-up-strategy', 'linear', '--ramp-up-start-rps', '20', '--ramp-up-end-rps', '200'],
    ]);
    const file = savedFile(bench, 'ramp.json');
    expect(Object.keys(file), ended.output).toEqual([...Object.keys(peer?.file ?? {}), 'lmcache_ci']);
    expect(file).toMatchObject({ ramp_up_strategy: 'linear', ramp_up_start_rps: 20, ramp_up_end_rps: 200 });
  });

  test('sends what the flags say', async ({ bench, serve }) => {
    const server = await serve();
    const ended = await bench.run(
      [
        'bench',
        ...['--base-url', server.baseUrl, ...shape, '--num-prompts', '2', '--backend', 'openai-chat', '--seed=7'],
        ...['--served-model-name', 'served', '--temperature', '0', '--top-k=20', '--extra-body', '{"min_tokens": 3}'],
        ...['--header', 'X-Team=cache', '--request-id-prefix', 'mine-', '--disable-tqdm'],
      ],
      { OPENAI_API_KEY: 'secret' },
    );
    const sent = server.requests.filter(({ path: sentTo }) => sentTo === '/v1/chat/completions');
    expect(sent, ended.output).toHaveLength(2);
    expect(JSON.parse(sent[0]?.body ?? '')).toMatchObject({
      model: 'served',
      max_completion_tokens: 3,
      ignore_eos: true,
      temperature: 0,
      top_k: 20,
      min_tokens: 3,
    });
    expect(sent[0]?.headers).toMatchObject({ 'x-team': 'cache', authorization: 'Bearer secret' });
    expect(sent.map(({ headers }) => headers['x-request-id']).sort()).toEqual(['mine-0', 'mine-1']);
    expect(ended.output).not.toContain('secret');
  });

  test('a recorded trace is sent as token ids, at its own times', async ({ bench, serve }) => {
    const server = await serve();
    const trace = path.join(root, 'test', 'fixtures', 'workloads', 'datasets', 'trace.jsonl');
    const ended = await bench.run([
      'bench',
      ...['--base-url', server.baseUrl, ...shape, '--dataset-name', 'timed_trace', '--dataset-path', trace],
      ...[
        '--timed-trace-sec-multiplier',
        '0.0001',
        '--save-detailed',
        '--save-result',
        '--result-filename',
        'trace.json',
      ],
    ]);
    expect(savedFile(bench, 'trace.json'), ended.output).toMatchObject({ completed: 5, request_rate: 'inf' });
    expect(savedFile(bench, 'trace.json')['duration']).toBeGreaterThan(0.3);
    const bodies = server.requests.flatMap(({ method, body }) => (method === 'POST' ? [JSON.parse(body)] : []));
    // Some are 0.1 ms apart, on connections of their own: the server may read either first.
    expect(bodies.map(({ prompt }) => prompt.length).toSorted((a, b) => a - b)).toEqual([16, 20, 32, 33, 40]);
    const { input_lens: lengths, start_times: starts } = savedFile(bench, 'trace.json');
    expect(lengths).toEqual([40, 33, 16, 32, 20]);
    const seconds = Array.isArray(starts) ? starts.map(Number) : [];
    expect(seconds).toHaveLength(5);
    expect(seconds).toEqual(seconds.toSorted((a, b) => a - b));
  });

  test('some requests fail: 1; none succeeds: 3; too many: it stops', async ({ bench, serve }) => {
    const failing = (isFailing: (request: number) => boolean) =>
      serve({
        intercept: async (exchange, request) => {
          if (exchange.request.method !== 'POST' || !exchange.request.path.endsWith('completions')) return false;
          const fails = isFailing(request);
          if (fails) await exchange.answer(500, 'broken');
          return fails;
        },
      });
    const run = async (server: RawHttpServer, ...more: string[]) =>
      bench.run(['bench', '--base-url', server.baseUrl, ...shape, '--max-concurrency', '1', ...more]);
    let count = 0;
    const some = await run(await failing(() => ++count % 4 === 1), '--num-prompts', '6');
    expect(some.code, some.output).toBe(1);
    expect(some.stderr).toMatch(/2 of 6 requests failed; the first: HTTP 500: broken/);
    const none = await run(await failing(() => true), '--num-prompts', '2');
    expect(none.code, none.output).toBe(3);
    const tooMany = await run(await failing(() => true), '--num-prompts', '500', '--abort-on-failure-rate', '0.5');
    expect(tooMany.code, tooMany.output).toBe(3);
    expect(tooMany.stderr).toContain('--abort-on-failure-rate');
  });

  test('interrupted: ends what is in flight and writes what it has', async ({ bench, serve }) => {
    const { baseUrl } = await serve({ tokenGapMs: 30 });
    const running = bench.start([
      'bench',
      ...['--base-url', baseUrl, ...shape, '--num-prompts', '1000', '--max-concurrency', '2'],
      ...['--save-result', '--result-filename', 'part.json'],
    ]);
    await running.says(/requests [1-9]\d*\/1000/);
    running.signalGroup('SIGINT');
    const ended = await running.ended;
    expect(ended.code, ended.output).toBe(130);
    const file = savedFile(bench, 'part.json');
    expect(file['completed']).toBeGreaterThan(0);
    expect(file['lmcache_ci']).toMatchObject({ interrupted: true, stopped_by: 'signal', valid: false });
  });

  test('no server: 3, said in one line', async ({ bench }) => {
    const ended = await bench.run(['bench', '--port', '1', ...shape, '--num-prompts', '2']);
    expect(ended.code, ended.output).toBe(3);
    expect(ended.stderr).toMatch(/127\.0\.0\.1:1.* got no answer/);
    expect(ended.stderr).not.toContain('    at ');
  });

  test.for([
    [['--porti', '1'], '--porti'],
    [['--num-prompts', 'many'], '--num-prompts must be a number of at least 1, not "many"'],
    [['--backend', 'tgi'], 'tgi'],
    [['--goodput', 'speed:3'], 'ttft, tpot and e2el, not "speed"'],
    [['--extra-body', '[1]'], '--extra-body must be a JSON object'],
    [['--dataset-name', 'sharegpt'], '--dataset-path is missing'],
    [['--ramp-up-strategy', 'linear'], '--ramp-up-start-rps'],
    [['--percentile-metrics', 'ttft,speed'], 'not "speed"'],
  ] as const)('%j is a mistake of usage', async ([args, message], { bench }) => {
    const ended = await bench.run(['bench', ...args]);
    expect(ended.code, ended.output).toBe(2);
    expect(ended.stderr).toContain(message);
  });
});

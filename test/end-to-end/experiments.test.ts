import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';
import { waitUntil } from '../../engines/wait-until.js';
import { parseExperimentCsv } from '../../results-schema/experiment-csv.js';
import { type ExperimentNotes, experimentNotesSchema } from '../../results-schema/experiment-notes.js';
import { startFakeOpenAi } from '../fixtures/fake-openai.js';
import { type Bench, root, test } from './bench.js';

const shipped = path.join(root, 'tests', 'tests.ts');

/** A user's own file, outside of any project. */
const ownTests = `
import { experiment, lmcache, type Settings, type TestCase, testCase, vllm } from 'lmcache-ci/experiments';

const small = { queries: 4, gap: 1, maxTokens: 8 };
const cached = vllm({ lmcache: lmcache({ chunk_size: 256, local_cpu: true, max_local_cpu_size: 10 }) });

export function test_small(_: Settings): TestCase {
  return testCase({ engines: [cached, vllm()], experiments: [2000, 4000].map((contextLength) => experiment({ ...small, contextLength })) });
}

export function test_partly_failing(): TestCase[] {
  const broken = vllm({ options: { no_such_flag: 1 } });
  const experiments = [experiment({ ...small, contextLength: 500 })];
  return [testCase({ engines: [vllm(), broken], experiments }), testCase({ engines: [vllm()], experiments })];
}

export function test_long(): TestCase {
  return testCase({ engines: [cached, vllm()], experiments: [experiment({ queries: 200, gap: 2, maxTokens: 8, contextLength: 1000 })] });
}

export function test_vllm(): TestCase {
  return testCase({ engines: [vllm({ model: 'm' })], experiments: [experiment({ ...small, queries: 2, gap: 0.1, contextLength: 50 })] });
}

export function helper(): void {}
`;

/** A folder with an nvidia-smi that tells of 2000 MiB in use at first, and of 2615 from then on. */
function growingGpus(bench: Bench): string {
  const folder = path.join(bench.directory, 'bin');
  mkdirSync(folder);
  const recorded = gunzipSync(
    readFileSync(path.join(root, 'test/docker/fixtures/nvidia-smi-idle.2xH200.xml.gz')),
  ).toString();
  const script = '#!/bin/sh\nfolder=$(dirname "$0")\ncat "$folder/now.xml"\ncp "$folder/later.xml" "$folder/now.xml"\n';
  for (const [name, used] of [
    ['now.xml', 2000],
    ['later.xml', 2615],
  ] as const) {
    const text = recorded.replaceAll('<free>143156 MiB</free>', `<free>${143_771 - used} MiB</free>`);
    writeFileSync(path.join(folder, name), text);
  }
  writeFileSync(path.join(folder, 'nvidia-smi'), script, { mode: 0o755 });
  return folder;
}

async function prepare(bench: Bench) {
  const directory = path.join(bench.directory, 'work');
  const file = path.join(directory, 'mine.ts');
  writeFileSync(file, ownTests);
  mkdirSync(path.join(bench.directory, 'logs'));
  const ports = await findFreePorts(2);
  const environment = { ENGINE_LOG_DIR: path.join(bench.directory, 'logs'), SIM_PROFILE: 'l40s' };
  const run = (args: readonly string[], more = {}) =>
    bench.run(['experiments', ...args, '-p', ...ports.map(String)], { ...environment, ...more });
  const output = (name: string) => readFileSync(path.join(directory, name), 'utf8');
  const rows = (name: string) => parseExperimentCsv(output(name), name).rows;
  const notes = (name: string): ExperimentNotes => experimentNotesSchema.parse(JSON.parse(output(name)));
  return { directory, file, ports, environment, run, output, rows, notes };
}

describe('lmcache-ci experiments', () => {
  test('lists and filters as main.py does, and says what is wrong before anything starts', async ({ bench }) => {
    const { run, directory, file } = await prepare(bench);
    const all = await run([shipped, '-l']);
    expect(all.code).toBe(0);
    expect(all.stdout.split('\n').filter(Boolean)).toHaveLength(16);
    const some = await run([shipped, '-l', '-f', 'cachegen']);
    expect(some.stdout).toBe('test_lmcache_cachegen_distributed\ntest_lmcache_remote_cachegen\n');

    writeFileSync(
      path.join(directory, 'open.ts'),
      'setInterval(() => {}, 1000);\nexport function test_a() { return []; }\n',
    );
    expect(await run([path.join(directory, 'open.ts'), '-l'])).toMatchObject({ code: 0, stdout: 'test_a\n' });

    const unknown = await run([shipped, '-f', 'test_lmcache_local_cpus']);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('matches "test_lmcache_local_cpus", did you mean test_lmcache_local_cpu?');
    writeFileSync(path.join(directory, 'throws.ts'), "export const a = 1;\nthrow new Error('no such luck');\n");
    const throws = await run(['throws.ts']);
    expect([throws.code, throws.stderr]).toMatchObject([2, expect.stringContaining('no such luck (throws.ts:2)')]);
    writeFileSync(path.join(directory, 'empty.ts'), 'export {};\n');
    expect(await run(['empty.ts'])).toMatchObject({ code: 2, stderr: expect.stringContaining('exports no functions') });
    expect(await run(['none.ts'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('"none.ts" does not exist'),
    });
    expect(await bench.run(['experiments', '-p', '8000', shipped])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Which test file?'),
    });
    for (const [args, said] of [
      [['.'], '"." is no file'],
      [[file, '-f', 'nothing'], 'matches "nothing". It has: helper, test_long,'],
      [[file, '-m', ''], '-m "": expected a model name'],
      [[file, '--cache-port', '9000', '9000'], '--cache-port "9000" stands there twice'],
      [[file, '-o', file], `-o "${file}" cannot be written to: EEXIST`],
    ] as const)
      expect(await run(args)).toMatchObject({ code: 2, stderr: expect.stringContaining(said) });
    expect(await run([file, '-f', '['])).toMatchObject({ code: 2, stderr: expect.stringContaining('-f "["') });
    expect(await run([file, '-f', ''])).toMatchObject({ code: 2, stderr: expect.stringContaining('-f "" is empty') });
    expect(readdirSync(directory).filter((name) => name.endsWith('.csv') || name === 'outputs')).toEqual([]);
  });

  test('writes the CSV, its notes, and reports of both', async ({ bench }) => {
    const { run, rows, notes, output, directory, environment, file, ports } = await prepare(bench);
    const model = 'meta-llama/Llama-3.1-8B-Instruct';
    const ended = await run([file, '-f', 'test_small', '-o', 'results', '-m', model, '--extra-columns', '--seed', '7']);
    expect(ended.output).toContain('SIMULATED (profile "l40s", speed x10)');
    expect(ended.code).toBe(0);
    const csv = 'results/test_small_meta-llama.csv';
    expect(output(csv).split('\n')[0]).toBe(
      'expr_id,timestamp,engine_id,request_id,TTFT,throughput,context_len,query_len,gpu_memory,latency',
    );
    expect(rows(csv)).toHaveLength(16);
    for (const row of rows(csv)) {
      expect(row).toMatchObject({ query_len: 16, timestamp: row.request_id });
      expect(row.TTFT).toBeGreaterThan(0);
      // On a busy machine a short answer comes in one piece.
      expect(row.latency).toBeGreaterThanOrEqual(row.TTFT ?? 0);
      expect(Object.keys(row.gpu_memory)).toEqual(['gpu-0', 'gpu-1']);
    }
    expect(notes('results/test_small_meta-llama.json')).toMatchObject({
      testFunction: 'test_small',
      model,
      simulated: { profile: 'l40s', speed: 10 },
      experiments: [
        { id: 0, title: 'context 2000, 4 requests', failure: null, engines: [{ name: 'vLLM + LMCache (cpu)' }, {}] },
        { id: 1, title: 'context 4000, 4 requests' },
      ],
      run: { seed: 7, file, engines: [{ version: expect.any(String) }, {}] },
    });
    expect(readdirSync(path.join(directory, 'results'))).toEqual([
      'test_small_meta-llama.csv',
      'test_small_meta-llama.json',
    ]);
    expect(readdirSync(environment.ENGINE_LOG_DIR).sort()).toEqual(
      ports.flatMap((port) => [`${port}-stderr.log`, `${port}-stdout.log`]).sort(),
    );

    const drawn = await bench.startProgram(
      [process.execPath, path.join(root, 'pipeline', 'lmcache-ci.mjs'), 'process-result'],
      { directory: path.join(directory, 'results') },
    ).ended;
    expect(drawn).toMatchObject({ code: 0, stderr: '' });
    expect(output('results/test_small_meta-llama.pdf').slice(0, 5)).toBe('%PDF-');
    expect(output('results/test_small_meta-llama.html')).toContain('SIMULATED');
    expect(existsSync(path.join(directory, 'results', 'test_small_meta-llama-charts'))).toBe(true);
    expect(await bench.run(['process-result'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no CSV file'),
    });
  });

  test('notes an experiment that failed, and goes on with the others', async ({ bench }) => {
    const { run, rows, notes, file } = await prepare(bench);
    const ended = await run([file, '-f', 'partly']);
    expect(ended.code).toBe(3);
    expect(ended.output).toMatch(/experiment 0 FAILED: [\s\S]*unrecognized arguments: --no-such-flag/);
    expect(rows('outputs/test_partly_failing.csv').map((row) => row.expr_id)).toEqual([1, 1, 1, 1]);
    const { experiments } = notes('outputs/test_partly_failing.json');
    expect(experiments).toMatchObject([{ id: 0, failure: expect.stringContaining('no-such-flag') }, { failure: null }]);
  });

  test('notes an engine that dies while it is measured', async ({ bench }) => {
    const { run, rows, notes, file } = await prepare(bench);
    // Two warm-up requests, then one that is answered.
    const ended = await run([file, '-f', 'test_small'], { SIM_FAULT: 'crash-after=3' });
    expect(ended.code, ended.output).toBe(1);
    expect(ended.output).toMatch(/experiment 0 FAILED: .*ended with exit code 1; its logs: .*-stdout\.log/);
    const failures = notes('outputs/test_small.json').experiments.map(({ failure }) => failure);
    expect(failures).toEqual([expect.stringContaining('exit code 1'), expect.stringContaining('exit code 1')]);
    const measured = rows('outputs/test_small.csv').filter(({ TTFT }) => TTFT !== null);
    expect(measured.length).toBeGreaterThan(0);
    expect(measured.length).toBeLessThan(16);
  });

  test('records the GPU memory that is in use when the requests are over', async ({ bench }) => {
    const { run, rows, file } = await prepare(bench);
    const server = await startFakeOpenAi({
      intercept: async (exchange) => {
        const { method, path: asked } = exchange.request;
        if (method === 'GET') await exchange.answer(200, asked === '/v1/models' ? '{"data": [{"id": "m"}]}' : '');
        else if (asked === '/tokenize') await exchange.answer(404, '{}');
        else return false;
        return true;
      },
    });
    try {
      const PATH = `${growingGpus(bench)}:${bench.environment['PATH']}`;
      const ended = await run([file, '-f', 'test_vllm', '--url', server.baseUrl], { PATH });
      expect(ended.code, ended.output).toBe(0);
    } finally {
      await server.close();
    }
    // Warm engines had 615 MiB less.
    const used = { 'gpu-0': 2615, 'gpu-1': 2615 };
    expect(rows('outputs/test_vllm.csv')).toMatchObject([{ gpu_memory: used }, { gpu_memory: used }]);
  });

  test('killed in the middle leaves no engine and a readable CSV', async ({ bench }) => {
    const { rows, notes, file, ports, environment, directory } = await prepare(bench);
    const args = ['experiments', file, '-f', 'long', '-p', ...ports.map(String)];
    const running = bench.start(args, environment);
    const csv = path.join(directory, 'outputs', 'test_long.csv');
    const hasRows = () => existsSync(csv) && readFileSync(csv, 'utf8').split('\n').length > 6;
    expect(await waitUntil(hasRows, 60_000), running.output()).toBe(true);
    running.kill('SIGKILL');
    await running.ended;
    await bench.expectNothingLeft();
    expect(rows('outputs/test_long.csv').length).toBeGreaterThan(4);
    expect(notes('outputs/test_long.json').simulated).not.toBeNull();
  });

  test('interrupted ends the engines and says so', async ({ bench }) => {
    const { rows, file, ports, environment, directory } = await prepare(bench);
    const args = ['experiments', file, '-f', 'long', '-p', ...ports.map(String)];
    const running = bench.start(args, environment);
    const csv = path.join(directory, 'outputs', 'test_long.csv');
    const hasRows = () => existsSync(csv) && readFileSync(csv, 'utf8').split('\n').length > 4;
    expect(await waitUntil(hasRows, 60_000), running.output()).toBe(true);
    running.signalGroup('SIGINT');
    expect((await running.ended).code).toBe(130);
    expect(rows('outputs/test_long.csv').length).toBeGreaterThan(2);
    expect(readdirSync(path.join(directory, 'outputs')).sort()).toEqual(['test_long.csv', 'test_long.json']);
  });

  test('improvements prints each figure with its direction and ratio', async ({ bench }) => {
    const { environment, ports, rows } = await prepare(bench);
    const ended = await bench.run(['improvements', '-p', ...ports.map(String)], environment);
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toMatch(/TTFT +[\d.]+ s +[\d.]+ s +lower is better +[\d.]+x better/);
    expect(ended.stdout).toMatch(/Throughput +[\d.]+ tok\/s +[\d.]+ tok\/s +higher is better/);
    expect(ended.stdout).toMatch(/GPU memory +[\d.]+ GiB +[\d.]+ GiB +lower is better/);
    expect(rows('outputs/improvements.csv')).toHaveLength(20);
  });
});

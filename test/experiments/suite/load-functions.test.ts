import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { loadFunctions, TestFileError } from '../../../experiments/suite/load-functions.js';
import { planFunctions } from '../../../experiments/suite/run-suite.js';

const shipped = fileURLToPath(new URL('../../../tests/tests.ts', import.meta.url));
const settings = {
  model: 'mistralai/Mistral-7B-Instruct-v0.2',
  ports: [8000, 8001],
  cachePorts: [65_431, 65_430],
  sentinelPorts: [26_379, 26_380, 26_381],
  directory: '/tmp/none',
  simulated: true,
};

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** Outside of any project: no package.json, no node_modules. */
function fileOf(name: string, text: string): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-user-'));
  directories.push(directory);
  const file = path.join(directory, name);
  writeFileSync(file, text);
  return file;
}

describe('a test file', () => {
  it('in TypeScript works wherever it lies, its helpers too', async () => {
    const file = fileOf(
      'mine.ts',
      `import { experiment, type Settings, type TestCase, testCase, vllm } from 'lmcache-ci/experiments';
       const enum Sizes { Small = 100 }
       export class NotAFunction {}
       export const notAFunction = 3;
       export async function test_b({ model }: Settings): Promise<TestCase> {
         return testCase({ engines: [vllm({ model })], experiments: [experiment({ queries: 1, contextLength: Sizes.Small })] });
       }
       export const test_a = (): undefined => undefined;
       export default function () {}`,
    );
    const functions = await loadFunctions(file);
    expect(functions.map(({ name }) => name)).toEqual(['test_a', 'test_b']);
    const [none, planned] = await planFunctions(functions, settings, String);
    expect(none?.cases).toBeNull();
    expect(planned?.cases?.[0]?.experiments[0]?.workload.contextLength).toBe(100);
  });

  it('of ours asks as often, and about contexts as long, as lmcache-tests', async () => {
    const planned = await planFunctions(await loadFunctions(shipped), settings, String);
    const others: Readonly<Record<string, string>> = {
      test_cache_compatibility: '5 x 8192, 5 x 16384, 5 x 24576',
      test_lmcache_redis_sentinel: '10 x 10375',
      test_multi_turn: '10 x 16',
      test_vary_length_workload: '3 x 12288',
    };
    expect(planned).toHaveLength(16);
    for (const { name, cases } of planned) {
      const workloads = (cases ?? []).flatMap(({ experiments }) => experiments.map(({ workload }) => workload));
      const said = workloads.map(({ qps, duration, contextLength }) => `${qps * duration} x ${contextLength}`);
      expect(said.join(', '), name).toBe(others[name] ?? '10 x 8192, 10 x 16384, 10 x 24576');
    }
  });

  it('in JavaScript works too', async () => {
    const file = fileOf(
      'mine.mjs',
      `import { vllm } from 'lmcache-ci/experiments';\nexport function test_a() { return vllm(); }`,
    );
    expect(await loadFunctions(file)).toMatchObject([{ name: 'test_a' }]);
  });

  it('that throws, has a syntax error or is not there says so with its place', async () => {
    const throwing = fileOf('throws.ts', `\nthrow new Error('no such luck');\n`);
    await expect(loadFunctions(throwing)).rejects.toThrow(
      /throws\.ts" cannot be loaded: no such luck \(throws\.ts:2\)/,
    );
    await expect(loadFunctions(fileOf('broken.ts', 'export function {'))).rejects.toThrow(TestFileError);
    await expect(loadFunctions('/nowhere/tests.ts')).rejects.toThrow('"/nowhere/tests.ts" does not exist');
    await expect(loadFunctions('tests/tests.py')).rejects.toThrow(
      /is Python; .* lmcache-tests' own in tests\/tests\.ts/,
    );
  });

  it('whose function throws, or returns no real test case, is named', async () => {
    const run = (run: () => never) => planFunctions([{ name: 'test_x', run }], settings, (error) => `${error}`);
    await expect(
      run(() => {
        throw new Error('out of ideas');
      }),
    ).rejects.toThrow('"test_x" failed: Error: out of ideas');
    await expect(run((() => ({ engines: [], experiments: [] })) as unknown as () => never)).rejects.toThrow(
      'no engines',
    );
  });
});

describe('tests/tests.ts', () => {
  it('has the sixteen test functions, each with what it shows', async () => {
    const functions = await loadFunctions(shipped);
    expect(functions.map(({ name }) => name)).toEqual([
      'test_cache_compatibility',
      'test_chunk_prefill',
      'test_lmcache_cachegen_distributed',
      'test_lmcache_local_cpu',
      'test_lmcache_local_disk',
      'test_lmcache_local_distributed',
      'test_lmcache_local_gpu',
      'test_lmcache_redis_sentinel',
      'test_lmcache_remote_cachegen',
      'test_lmcache_remote_disk',
      'test_lmcache_remote_safetensor',
      'test_lmcache_safetensor_distributed',
      'test_local_cpu_experimental',
      'test_local_disk_experimental',
      'test_multi_turn',
      'test_vary_length_workload',
    ]);
    for (const { name, cases } of await planFunctions(functions, settings, String)) {
      expect(cases?.flatMap(({ shows = [] }) => shows).length, name).toBeGreaterThan(0);
    }
  });

  it('knows what some models need', async () => {
    const [local] = (await loadFunctions(shipped)).filter(({ name }) => name === 'test_lmcache_local_cpu');
    const enginesFor = async (model: string) => {
      const [planned] = await planFunctions(local ? [local] : [], { ...settings, model }, String);
      return planned?.cases?.[0]?.engines ?? [];
    };
    expect(await enginesFor('THUDM/glm-4-9b-chat')).toMatchObject([
      { tensorParallelSize: 2, options: { max_model_len: 32_768, trust_remote_code: true } },
      { tensorParallelSize: 2 },
    ]);
    expect(await enginesFor('meta-llama/Llama-3.1-8B-Instruct')).toMatchObject([
      { options: { max_model_len: 32_768 } },
      {},
    ]);
    expect(await enginesFor('mistralai/Mistral-7B-Instruct-v0.2')).not.toMatchObject([{ options: {} }, {}]);
  });
});

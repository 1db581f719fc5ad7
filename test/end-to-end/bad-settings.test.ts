import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';
import { RawHttpServer } from '../fixtures/raw-http-server.js';
import { type Bench, type Environment, root, test } from './bench.js';

function writeDotenv(bench: Bench, text: string): void {
  writeFileSync(path.join(bench.directory, 'work', '.env'), text);
}

/** Exit code 2 or 3, before anything has been started or made. */
async function expectRefusal(bench: Bench, code: 2 | 3, args: readonly string[], environment: Environment = {}) {
  const ended = await bench.run(args, environment);
  expect(ended.code, ended.output).toBe(code);
  expect(existsSync(bench.resultsDir)).toBe(false);
  expect(existsSync(bench.registryDir) ? readdirSync(bench.registryDir) : []).toEqual([]);
  expect(ended.stdout).toBe('');
  return ended.stderr;
}

describe('a bad value ends with exit code 2 before anything starts', () => {
  test('naming variable, value, origin and what is allowed', async ({ bench }) => {
    const said = await expectRefusal(bench, 2, ['mp-test'], { MAX_LMCACHE_TTFT: 'fast' });
    expect(said).toContain('MAX_LMCACHE_TTFT="fast" (from the environment): expected a number above 0 (s)');
    expect(said).toContain('Nothing was started.');
  });

  test('all of them at once, whoever gave them', async ({ bench }) => {
    writeDotenv(bench, 'NUM_DOCUMENTS=many\n');
    const said = await expectRefusal(bench, 2, ['mp-test', '--num-prompts', '-3', '--vllm-port=99999'], {
      NUM_DOCUMENTS: undefined,
      MAX_LMCACHE_QUERY_ROUND_TIME: 'NaN',
    });
    expect(said).toContain('4 settings cannot be used');
    expect(said).toContain('NUM_DOCUMENTS="many" (in .env)');
    expect(said).toContain('--num-prompts="-3" (on the command line): expected a whole number of at least 1');
    expect(said).toContain('--vllm-port="99999" (on the command line): expected a port from 1 to 65535, or auto');
    expect(said).toContain('MAX_LMCACHE_QUERY_ROUND_TIME="NaN" (from the environment)');
  });

  test('a profile of the simulator as well, wherever it is taken', async ({ bench }) => {
    const said =
      'SIM_PROFILE="h300" (from the environment): expected one of h200, h200-batch-invariant, h100, a100, l40s,';
    for (const args of [['mp-test'], ['sweep'], ['improvements']])
      expect(await expectRefusal(bench, 2, args, { SIM_PROFILE: 'h300' })).toContain(said);
  });

  test('in a single step and in doctor too', async ({ bench }) => {
    for (const args of [['step', 'launch-containers'], ['doctor']])
      expect(await expectRefusal(bench, 2, args, { LIMIT: '0' })).toContain('LIMIT="0"');
  });
});

describe('flags that do not exist and values that cannot be used', () => {
  test('are told together, with a switch and a step that are wrong', async ({ bench }) => {
    const args = ['mp-test', '--bogus', '1', '--vllm-port', '99999', '--only', 'long-doc-qq', '--keep=yes'];
    const said = await expectRefusal(bench, 2, args, { LIMIT: '0', MAX_LMCACHE_TTTF: '0.3' });
    expect(said.split('\n')).toEqual([
      expect.stringContaining('--only="long-doc-qq": there is no such step, did you mean long-doc-qa?'),
      '2 settings cannot be used. Nothing was started.',
      '  --vllm-port="99999" (on the command line): expected a port from 1 to 65535, or auto',
      '  LIMIT="0" (from the environment): expected a whole number of at least 1 (samples)',
      expect.stringContaining('  warning: MAX_LMCACHE_TTTF (environment) is not a setting'),
      'Unknown argument "--bogus"',
      '--keep="yes": expected true or false, or --keep alone. Nothing was started.',
      'See lmcache-ci mp-test --help.',
      '',
    ]);
  });

  test.for([
    ['step', 'long-doc-qa', '--bogus', '--limit', 'x'],
    ['sweep', '--bogus', '--gpus', 'x', '--sim-speed', 'x'],
    ['experiments', 'none.ts', '--bogus', '-p', 'x', '--seed', 'x', '--sim-speed', 'x'],
    ['bench', '--bogus', '--backend', 'x', '--num-prompts', 'x', '--port', 'x', '--goodput', 'x'],
    ['cache-simulation', 'none', '--bogus', '--policy', 'x', '--chunk-tokens', 'x'],
  ])('%j', async (args, { bench }) => {
    const said = await expectRefusal(bench, 2, args);
    expect(said).toContain('Unknown argument "--bogus"');
    for (const [at, arg] of args.entries())
      if (args[at + 1] === 'x') expect(said).toMatch(new RegExp(`${arg}\\b[^\n]*"x"`));
  });
});

describe('files', () => {
  test('that cannot be read or written are told before a server is asked', async ({ bench }) => {
    const server = await RawHttpServer.start(() => undefined);
    const asking = ['bench', '--base-url', server.baseUrl];
    const cases = [
      [
        [...asking, '--dataset-name', 'sharegpt', '--dataset-path', 'none.json'],
        '--dataset-path "none.json" cannot be read: ',
      ],
      [[...asking, '--save-result', '--result-dir', '/proc/x'], '--result-dir "/proc/x" cannot be written to: '],
      [[...asking, '--save-result', '--result-filename', '.'], '--result-filename "." is a directory: name a file.'],
      [[...asking, '--request-log', '/proc/x/y'], '--request-log "/proc/x/y" cannot be written to: '],
      [['improvements', '-o', '/proc/a/b'], '-o "/proc/a/b" cannot be written to: '],
      [['improvements', '--engine-log-dir', '/proc/x'], 'ENGINE_LOG_DIR "/proc/x" cannot be written to: '],
      [['process-result', 'any.csv', '-o', '/proc/x'], '-o "/proc/x" cannot be written to: '],
      [['mp-test', '--results-dir', '/proc/x/y'], 'results directory "/proc/x/y" cannot be written ('],
    ] as const;
    try {
      for (const [args, said] of cases) expect(await expectRefusal(bench, 2, args)).toContain(said);
      expect(server.connections).toBe(0);
    } finally {
      await server.close();
    }
  });
});

describe('a server that is not there', () => {
  test('is told at once, with what to do', async ({ bench }) => {
    const [port = 0] = await findFreePorts(1);
    const url = `http://127.0.0.1:${port}`;
    const file = path.join(root, 'tests', 'tests.ts');
    const said = await expectRefusal(bench, 3, ['experiments', file, '-f', 'cachegen', '--url', url]);
    expect(said).toContain(`--url "${url}" cannot be reached: connection refused.\nStart the server first, or`);
    expect(await expectRefusal(bench, 2, ['experiments', file, '--url', 'gpu-1:8000'])).toContain(
      '--url "gpu-1:8000": ',
    );
    expect(await expectRefusal(bench, 3, ['bench', '--base-url', url])).toMatch(/ECONNREFUSED.*Is a server up there\?/);
  });
});

describe('a variable that is nearly a setting', () => {
  test('warns with what was probably meant; STRICT_ENV=1 makes it an error', async ({ bench }) => {
    const meant = 'MAX_LMCACHE_TTTF (environment) is not a setting and has no effect; did you mean MAX_LMCACHE_TTFT?';
    const environment = { MAX_LMCACHE_TTTF: '0.3' };
    expect(await expectRefusal(bench, 2, ['mp-test'], { ...environment, STRICT_ENV: '1' })).toContain(meant);
    const refused = await expectRefusal(bench, 2, ['mp-test'], { ...environment, LIMIT: '0' });
    expect(refused).toContain('A setting cannot be used');
    expect(refused).toContain(`warning: ${meant}`);
    const refusals = [
      ['mp-test', '--bogus'],
      ['mp-test', '--only', 'long-doc-qq'],
      ['step', 'wait-for-vllm'],
      ['mp-test', '--runtime', 'external', '--engine', 'auto'],
    ];
    for (const args of refusals)
      expect(await expectRefusal(bench, 2, args, environment)).toContain(`warning: ${meant}\n`);
    for (const args of [['mp-test', '--dry-run'], ['doctor']])
      expect((await bench.run(args, environment)).stderr).toBe(`warning: ${meant}\n`);

    const ended = await bench.run(['mp-test', '--only', 'wait-for-vllm'], environment);
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toContain(meant);
    expect(bench.events()).toContainEqual(
      expect.objectContaining({ type: 'setting-warning', setting: 'MAX_LMCACHE_TTTF', message: meant }),
    );
  });
});

describe('a typing error on the command line', () => {
  test.for([
    [
      ['mp-test', '--max-lmcache-tttf', '0.2'],
      'Unknown argument "--max-lmcache-tttf", did you mean --max-lmcache-ttft?\nSee lmcache-ci mp-test --help.',
    ],
    [['mp-test', '--only', 'long-doc-qq'], 'there is no such step, did you mean long-doc-qa?'],
    [['mp-test', '--skip', 'lm-evl'], 'there is no such step, did you mean lm-eval?'],
    [['mp-test', '--skip', 'cleanup'], '--keep'],
    [['mp-tset'], 'There is no command "mp-tset". Did you mean mp-test?\nSee lmcache-ci --help.'],
    [['step', 'run-long-doc-aq'], 'run-long-doc-qa'],
    [['step'], 'A name is missing'],
    [['clean', '--older-than', 'soon'], '--older-than="soon": expected an age such as 30m, 2h or 1d.'],
    [[], 'Which command?'],
    [['foo', 'bar'], 'There is no command "foo".\nSee lmcache-ci --help.'],
    [['report', 'a', 'b'], 'report takes one <directory>; more was given: "b".\nSee lmcache-ci report --help.'],
    [['mp-test', '--vllm-port'], '--vllm-port needs a value.\nSee lmcache-ci mp-test --help.'],
    [['mp-test', '--resume', 'never-was'], '--resume=never-was: there is no "'],
    [['mp-test', '--dry-run=1'], '--dry-run="1": expected true or false, or --dry-run alone.'],
    [['sweep', 'my.yaml'], 'sweep "my.yaml": the only action is merge; the file of a sweep is named by --yaml'],
  ] as const)('%j says what was meant', async ([args, said], { bench }) => {
    expect(await expectRefusal(bench, 2, args)).toContain(said);
  });
});

describe('a flag that is given twice', () => {
  test('counts with its last value', async ({ bench }) => {
    const file = path.join(root, 'tests', 'tests.ts');
    const ended = await bench.run(['experiments', file, '-f', 'cachegen', '-f', 'multi_turn', '-l']);
    expect(ended).toMatchObject({ code: 0, stdout: 'test_multi_turn\n' });
  });
});

describe('origins', () => {
  test('a flag beats the environment, which beats .env, which beats the default', async ({ bench }) => {
    writeDotenv(bench, 'NUM_PROMPTS=11\nNUM_DOCUMENTS=12\nLIMIT=13\n');
    const ended = await bench.run(['mp-test', '--dry-run', '--num-prompts', '21'], {
      NUM_PROMPTS: '31',
      NUM_DOCUMENTS: '32',
      LIMIT: undefined,
      OUTPUT_LEN: undefined,
    });
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toMatch(/^NUM_PROMPTS +21 prompts +flag \(--num-prompts\)/m);
    expect(ended.stdout).toMatch(/^NUM_DOCUMENTS +32 documents +environment/m);
    expect(ended.stdout).toMatch(/^LIMIT +13 samples +\.env/m);
    expect(ended.stdout).toMatch(/^OUTPUT_LEN +200 tokens +default/m);
  });
});

describe('no engine to test', () => {
  test('ends with exit code 3 on CI: nothing is simulated there unless it was asked for', async ({ bench }) => {
    const said = await expectRefusal(bench, 3, ['mp-test'], {
      ENGINE: undefined,
      CI: 'true',
      DOCKER_HOST: `unix://${bench.directory}/no-daemon.sock`,
    });
    expect(said).toContain('set ENGINE=sim');
  });

  test('takes the simulator elsewhere, with a banner that says why', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--dry-run'], {
      ENGINE: undefined,
      DOCKER_HOST: `unix://${bench.directory}/no-daemon.sock`,
    });
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toMatch(/# SIMULATED ENGINES: no GPU is used/);
    expect(ended.stdout).toMatch(/# Why: Docker is not available: /);
  });

  test('is also what external servers without an address are', async ({ bench }) => {
    expect(await expectRefusal(bench, 2, ['mp-test'], { RUNTIME: 'external', ENGINE: undefined })).toContain(
      'RUNTIME=external needs VLLM_URL',
    );
  });
});

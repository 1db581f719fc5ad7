import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import Docker from 'dockerode';
import { describe, expect } from 'vitest';
import { waitUntil } from '../../engines/wait-until.js';
import { type Bench, measuringTest as base } from '../end-to-end/bench.js';

const docker = new Docker();
const inDocker = { RUNTIME: 'docker' };
/** Long enough for a test to be still going on when something happens to it. */
const long = { NUM_DOCUMENTS: '60', DOCUMENT_LENGTH: '10000' };

async function containersOf(bench: Bench) {
  const filters = { label: [`ci.lmcache.build-id=${bench.buildId}`] };
  const listed = await docker.listContainers({ all: true, filters });
  return Promise.all(listed.map(({ Id }) => docker.getContainer(Id).inspect()));
}

const namesOf = async (bench: Bench) => (await containersOf(bench)).map(({ Name }) => Name.slice(1)).sort();

/** As in end-to-end tests, and no container of the run may be left either. */
const test = base.extend<{ noContainersLeft: undefined }>({
  noContainersLeft: [
    async ({ bench }, use) => {
      try {
        await use(undefined);
        expect(await namesOf(bench)).toEqual([]);
      } finally {
        for (const { Id } of await containersOf(bench)) await docker.getContainer(Id).remove({ force: true });
      }
    },
    { auto: true },
  ],
});

function port(bench: Bench, name: string): string {
  return String(bench.record().settings.find((setting) => setting.name === name)?.value);
}

describe('ENGINE=sim RUNTIME=docker', () => {
  test('a small run passes in three containers, launched as the real engines are', async ({ bench }) => {
    const run = bench.start(['mp-test', '--skip', 'vllm-bench'], inDocker);
    await run.says(/Long document QA on/);
    const containers = await containersOf(bench);
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(0);
    expect(await namesOf(bench)).toEqual([]);

    const record = bench.record();
    expect(record).toMatchObject({
      engine: 'sim',
      runtime: 'docker',
      image: { name: expect.stringContaining('simulator') },
    });
    expect(record.versions.docker).toMatch(/^\d+\.\d+/);
    expect(record.steps.find(({ name }) => name === 'build-image')?.result.outcome).toBe('passed');
    for (const name of ['lmcache-mp-test', 'vllm-mp-test', 'vllm-baseline-test'])
      expect(readFileSync(path.join(bench.resultsDir, 'logs', `${name}-${bench.buildId}.log`), 'utf8')).toContain(
        'SIMULATED',
      );

    const shown = (role: string) => {
      const found = containers.find(({ Config }) => Config.Labels['ci.lmcache.role'] === role);
      return { name: found?.Name, ...found?.Config, host: found?.HostConfig };
    };
    expect(containers).toHaveLength(3);
    for (const { HostConfig } of containers)
      expect(HostConfig).toMatchObject({ NetworkMode: 'host', IpcMode: 'host', DeviceRequests: null });
    const serve = (role: 'vllm' | 'baseline', servePort: string, connector: readonly string[]) => ({
      Cmd: [
        ...['Qwen/Qwen3-14B', ...connector, '--attention-backend', 'FLASH_ATTN', '--port', servePort],
        ...['--no-async-scheduling', '--gpu-memory-utilization', '0.26'],
      ],
      Env: expect.arrayContaining([
        'VLLM_ENABLE_V1_MULTIPROCESSING=0',
        'VLLM_BATCH_INVARIANT=1',
        'PYTHONHASHSEED=0',
        'VLLM_SERVER_DEV_MODE=1',
        'CUDA_VISIBLE_DEVICES=0',
        'SIM_SPEED=10',
      ]),
      Labels: expect.objectContaining({ 'ci.lmcache.build-id': bench.buildId, 'ci.lmcache.role': role }),
      host: expect.objectContaining({
        Binds: [`${bench.directory}/home/.cache/huggingface:/root/.cache/huggingface`],
      }),
    });
    const connector = {
      kv_connector: 'LMCacheMPConnector',
      kv_role: 'kv_both',
      kv_load_failure_policy: 'recompute',
      kv_connector_extra_config: {
        'lmcache.mp.host': 'tcp://localhost',
        'lmcache.mp.port': Number(port(bench, 'LMCACHE_PORT')),
        'lmcache.mp.mq_timeout': 10,
      },
    };
    const entrypoint = ['vllm', 'serve'];
    expect(shown('vllm')).toMatchObject({
      Entrypoint: entrypoint,
      name: `/vllm-mp-test-${bench.buildId}`,
      ...serve('vllm', port(bench, 'VLLM_PORT'), ['--kv-transfer-config', JSON.stringify(connector)]),
    });
    expect(shown('baseline')).toMatchObject({
      name: `/vllm-baseline-test-${bench.buildId}`,
      ...serve('baseline', port(bench, 'VLLM_BASELINE_PORT'), []),
    });
    expect(shown('lmcache')).toMatchObject({
      name: `/lmcache-mp-test-${bench.buildId}`,
      Entrypoint: ['/opt/venv/bin/lmcache', 'server'],
      Cmd: [
        ...['--l1-size-gb', '80', '--eviction-policy', 'LRU', '--max-workers', '4'],
        ...['--port', port(bench, 'LMCACHE_PORT'), '--http-host', '127.0.0.1'],
        ...['--http-port', port(bench, 'LMCACHE_HTTP_PORT')],
      ],
    });
    // By it the processes are found whose container a killed daemon has forgotten.
    for (const { Config } of containers) expect(Config.Env).toContain(`LMCACHE_CI_BUILD_ID=${bench.buildId}`);
    // None of our own settings gets into the engines.
    for (const { Config } of containers)
      for (const name of ['VLLM_PORT', 'BUILD_ID', 'LIMIT', 'XDG_RUNTIME_DIR'])
        expect(Config.Env.filter((variable) => variable.startsWith(`${name}=`))).toEqual([]);
  });

  test('steps of their own join the containers and remove them', async ({ bench }) => {
    expect(await bench.zx('launch-containers', inDocker)).toMatchObject({ code: 0 });
    expect(await namesOf(bench)).toHaveLength(3);
    for (const script of ['wait-for-vllm', 'run-long-doc-qa', 'cleanup']) {
      const ended = await bench.zx(script);
      expect(ended.code, `${script}: ${ended.output}`).toBe(0);
    }
    expect(bench.record().runtime).toBe('docker');
  });

  test('Ctrl-C leaves no container', async ({ bench }) => {
    const run = bench.start(['mp-test', '--only', 'long-doc-qa'], { ...inDocker, ...long });
    await run.says(/baseline, warm-up/);
    expect(await namesOf(bench)).toHaveLength(3);
    run.signalGroup('SIGINT');
    run.signalGroup('SIGINT');
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(130);
  });

  test('kill -9 leaves none after 5 s, and a note', async ({ bench }) => {
    const run = bench.start(['mp-test', '--only', 'long-doc-qa'], { ...inDocker, ...long });
    await run.says(/baseline, warm-up/);
    run.signalGroup('SIGKILL');
    const note = path.join(bench.resultsDir, 'orchestrator-lost.json');
    expect(await waitUntil(() => existsSync(note), 5000)).toBe(true);
    expect(await namesOf(bench)).toEqual([]);
  });
});

describe('faults of containers', () => {
  test('one that exits at start fails the run at once, with its exit code and its words', async ({ bench }) => {
    const ended = await bench.run(['mp-test'], { ...inDocker, SIM_PROFILE: 'no-such-card.json' });
    expect(ended.code, ended.output).toBe(3);
    expect(ended.stdout).toMatch(/ended with exit code \d+ before it served/);
    expect(ended.stdout).toContain('no-such-card.json');
  });

  test('one that is killed during a test', async ({ bench }) => {
    const run = bench.start(['mp-test', '--only', 'long-doc-qa'], { ...inDocker, ...long });
    await run.says(/lmcache, warm-up/);
    await docker.getContainer(`lmcache-mp-test-${bench.buildId}`).kill({ signal: 'SIGKILL' });
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(3);
    expect(ended.stdout).toMatch(/The lmcache engine "lmcache-mp-test-\S+" died during the test/);
  });

  test('an image that is neither here nor to be had', async ({ bench }) => {
    const ended = await bench.run(['mp-test'], { ...inDocker, IMAGE: '127.0.0.1:1/nope:latest' });
    expect(ended.code, ended.output).toBe(3);
    expect(bench.record().verdict).toMatchObject({
      reason: 'infrastructure',
      cause: 'image-missing',
      step: 'build-image',
    });
    expect(ended.stdout).toContain('127.0.0.1:1/nope:latest');
  });
});

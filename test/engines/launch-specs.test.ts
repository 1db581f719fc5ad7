import { describe, expect, it } from 'vitest';
import { type LaunchOptions, launchSpecs } from '../../engines/launch-specs.js';

const gpu = (index: number) => ({
  index,
  uuid: `GPU-${index}`,
  name: 'NVIDIA H200',
  memoryTotalMiB: 143_771,
  memoryFreeMiB: 143_156,
});

const docker: LaunchOptions = {
  buildId: '4711',
  engine: 'vllm',
  runtime: 'docker',
  model: 'Qwen/Qwen3-14B',
  modelPath: null,
  image: 'lmcache/vllm-openai:test',
  ports: { vllm: 8000, baseline: 9000, lmcache: 6555, lmcacheHttp: 8080 },
  l1SizeGb: 80,
  maxWorkers: 4,
  gpuMemoryUtilization: null,
  batchInvariant: '1',
  lmcacheLaunch: 'server',
  vllm: { arguments: [], variables: {} },
  lmcache: { arguments: [], variables: {} },
  compileCacheDir: null,
  gpus: [gpu(3), gpu(5)],
  hfHome: '/home/ci/.cache/huggingface',
  hfTokenPath: null,
  simulator: null,
};
const processes: LaunchOptions = { ...docker, runtime: 'process' };
const simulated: LaunchOptions = {
  ...processes,
  engine: 'sim',
  gpus: null,
  simulator: { profile: 'h200', speed: 10, fault: null, command: ['/usr/bin/node', '/app/dist/simulator/main.js'] },
};

const connector =
  '{"kv_connector":"LMCacheMPConnector","kv_role":"kv_both","kv_load_failure_policy":"recompute",' +
  '"kv_connector_extra_config":{"lmcache.mp.host":"tcp://localhost","lmcache.mp.port":6555,"lmcache.mp.mq_timeout":10}}';
const cacheMount = { source: '/home/ci/.cache/huggingface', target: '/root/.cache/huggingface', readOnly: false };
const vllmEnvironment = {
  VLLM_ENABLE_V1_MULTIPROCESSING: '0',
  VLLM_BATCH_INVARIANT: '1',
  PYTHONHASHSEED: '0',
  VLLM_SERVER_DEV_MODE: '1',
};

describe('the three engines as containers', () => {
  it('are launched exactly so', () => {
    expect(launchSpecs(docker)).toEqual([
      {
        role: 'lmcache',
        name: 'lmcache-mp-test-4711',
        program: 'lmcache-server',
        args: [
          ...['--l1-size-gb', '80', '--eviction-policy', 'LRU', '--max-workers', '4', '--port', '6555'],
          ...['--http-host', '127.0.0.1', '--http-port', '8080'],
        ],
        environment: { PYTHONHASHSEED: '0', CUDA_VISIBLE_DEVICES: '0' },
        container: {
          image: 'lmcache/vllm-openai:test',
          entrypoint: ['/opt/venv/bin/lmcache', 'server'],
          mounts: [],
          gpu: { runtime: 'nvidia', uuids: ['GPU-3'] },
        },
        command: ['lmcache', 'server'],
        ports: [6555, 8080],
        healthUrl: 'http://127.0.0.1:8080/healthcheck',
      },
      {
        role: 'vllm',
        name: 'vllm-mp-test-4711',
        program: 'vllm-serve',
        args: [
          ...['Qwen/Qwen3-14B', '--kv-transfer-config', connector, '--attention-backend', 'FLASH_ATTN'],
          ...['--port', '8000', '--no-async-scheduling', '--gpu-memory-utilization', '0.5'],
        ],
        environment: { ...vllmEnvironment, CUDA_VISIBLE_DEVICES: '0' },
        container: {
          image: 'lmcache/vllm-openai:test',
          entrypoint: null,
          mounts: [cacheMount],
          gpu: { runtime: 'nvidia', uuids: ['GPU-3'] },
        },
        command: ['vllm', 'serve'],
        ports: [8000],
        healthUrl: 'http://127.0.0.1:8000/health',
      },
      {
        role: 'baseline',
        name: 'vllm-baseline-test-4711',
        program: 'vllm-serve',
        args: [
          ...['Qwen/Qwen3-14B', '--attention-backend', 'FLASH_ATTN', '--port', '9000', '--no-async-scheduling'],
          ...['--gpu-memory-utilization', '0.5'],
        ],
        environment: { ...vllmEnvironment, CUDA_VISIBLE_DEVICES: '0' },
        container: {
          image: 'lmcache/vllm-openai:test',
          entrypoint: null,
          mounts: [cacheMount],
          gpu: { runtime: 'nvidia', uuids: ['GPU-5'] },
        },
        command: ['vllm', 'serve'],
        ports: [9000],
        healthUrl: 'http://127.0.0.1:9000/health',
      },
    ]);
  });

  it("start the cache server as the original suite's module where asked to, with its connector", () => {
    const [lmcache, vllm] = launchSpecs({ ...docker, lmcacheLaunch: 'module' });
    expect(lmcache).toMatchObject({
      program: 'lmcache-module',
      args: [
        ...['-m', 'lmcache.v1.multiprocess.server', '--cpu-buffer-size', '80', '--max-workers', '4', '--port', '6555'],
      ],
      container: { entrypoint: ['/opt/venv/bin/python3'] },
      command: ['python3'],
      ports: [6555],
      healthUrl: null,
    });
    expect(vllm.args[2]).toBe(
      '{"kv_connector":"LMCacheMPConnector","kv_role":"kv_both","kv_connector_extra_config":{"lmcache.mp.port":6555}}',
    );
  });

  it('mount a token file and a model directory, and never put a token into an environment', () => {
    const [lmcache, vllm] = launchSpecs({ ...docker, model: '/models/own', hfTokenPath: '/home/ci/token' });
    expect(vllm.container.mounts).toEqual([
      cacheMount,
      { source: '/home/ci/token', target: '/run/secrets/hf-token', readOnly: true },
      { source: '/models/own', target: '/models/own', readOnly: true },
    ]);
    expect(vllm.environment).toMatchObject({ HF_TOKEN_PATH: '/run/secrets/hf-token' });
    expect(lmcache.environment).not.toHaveProperty('HF_TOKEN_PATH');
  });

  it('of the simulator differ in the GPU request and the SIM variables alone', () => {
    const real = launchSpecs({ ...docker, gpuMemoryUtilization: 0.5 });
    const sim = launchSpecs({ ...docker, engine: 'sim', gpus: null, simulator: simulated.simulator });
    sim.forEach((spec, index) => {
      const { SIM_PROFILE, SIM_SPEED, ...environment } = spec.environment;
      expect({ SIM_PROFILE, SIM_SPEED }).toEqual({ SIM_PROFILE: 'h200', SIM_SPEED: '10' });
      expect(spec.container.gpu).toBeNull();
      const counterpart = real[index];
      expect({ ...spec, environment, container: null, command: null }).toEqual({
        ...counterpart,
        container: null,
        command: null,
      });
      expect({ ...spec.container, gpu: null }).toEqual({ ...counterpart?.container, gpu: null });
    });
  });
});

describe('the three engines as processes', () => {
  it('see all cards and take the chosen ones, numbered as nvidia-smi numbers them', () => {
    const [lmcache, vllm, baseline] = launchSpecs(processes);
    const card = (index: string) => ({ CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: index });
    expect(lmcache.environment).toEqual({ PYTHONHASHSEED: '0', ...card('3') });
    expect(vllm.environment).toEqual({ ...vllmEnvironment, ...card('3'), HF_HOME: '/home/ci/.cache/huggingface' });
    expect(baseline.environment).toMatchObject(card('5'));
    expect(launchSpecs(docker).map((spec) => spec.args)).toEqual(launchSpecs(processes).map((spec) => spec.args));
  });

  it('are the simulator behind the same arguments', () => {
    const [lmcache, vllm, baseline] = launchSpecs(simulated);
    const main = ['/usr/bin/node', '/app/dist/simulator/main.js'];
    expect(lmcache.command).toEqual([...main, 'lmcache', 'server']);
    expect(vllm.command).toEqual([...main, 'vllm', 'serve']);
    expect([lmcache.args, vllm.args, baseline.args]).toEqual(launchSpecs(docker).map((spec) => spec.args));
    const [module] = launchSpecs({ ...simulated, lmcacheLaunch: 'module' });
    expect(module.command).toEqual([...main, 'python3']);
  });

  it('give a fault to LMCache and its engine, never to the baseline', () => {
    const simulator = { profile: 'h200', speed: 10, fault: 'no-cache', command: [] };
    const faults = launchSpecs({ ...simulated, simulator }).map((spec) => spec.environment['SIM_FAULT']);
    expect(faults).toEqual(['no-cache', 'no-cache', undefined]);
  });
});

describe("the share of a GPU's memory", () => {
  const shareOf = (changes: Partial<LaunchOptions>) => {
    const { args } = launchSpecs({ ...docker, ...changes })[1];
    const at = args.indexOf('--gpu-memory-utilization');
    return at < 0 ? null : args[at + 1];
  };
  const sized = (memoryTotalMiB: number) => ({ ...gpu(0), memoryTotalMiB });

  it("is half of a card above 90 GB, the engine's own below, and what was asked for above all", () => {
    expect(shareOf({ gpus: [sized(92_161), gpu(1)] })).toBe('0.5');
    expect(shareOf({ gpus: [sized(92_160), gpu(1)] })).toBeNull();
    expect(shareOf({ gpus: [sized(81_559), gpu(1)], gpuMemoryUtilization: 0.8 })).toBe('0.8');
  });
});

describe('what is added by hand', () => {
  const added: LaunchOptions = {
    ...processes,
    vllm: { arguments: ['--load-format', 'dummy'], variables: { PYTHONPATH: '/x', TRITON_CACHE_DIR: '/own' } },
    lmcache: { arguments: ['--chunk-size', '512'], variables: { PYTHONHASHSEED: '7' } },
    compileCacheDir: '/cache',
  };

  it('stands last on the command lines and above our own variables', () => {
    const [lmcache, vllm, baseline] = launchSpecs(added);
    for (const { args } of [vllm, baseline]) expect(args.slice(-2)).toEqual(['--load-format', 'dummy']);
    expect(lmcache.args.slice(-2)).toEqual(['--chunk-size', '512']);
    expect(lmcache.environment).toMatchObject({ PYTHONHASHSEED: '7' });
    expect(lmcache.environment).not.toHaveProperty('PYTHONPATH');
    expect(baseline.environment).toMatchObject({ PYTHONPATH: '/x', TRITON_CACHE_DIR: '/own' });
    const [module] = launchSpecs({ ...added, lmcacheLaunch: 'module' });
    expect(module.args.slice(-2)).toEqual(['--chunk-size', '512']);
  });

  it('is compiled code in a folder of its own for each vLLM, in a container in a mounted one', () => {
    const [lmcache, vllm, baseline] = launchSpecs({ ...processes, compileCacheDir: '/cache' });
    const folder = (name: string) => ({
      VLLM_CACHE_ROOT: `${name}/vllm`,
      TORCHINDUCTOR_CACHE_DIR: `${name}/inductor`,
      TRITON_CACHE_DIR: `${name}/triton`,
    });
    expect(vllm.environment).toMatchObject(folder('/cache/vllm'));
    expect(baseline.environment).toMatchObject(folder('/cache/baseline'));
    expect(lmcache.environment).not.toHaveProperty('VLLM_CACHE_ROOT');
    const [, inContainer] = launchSpecs({ ...docker, compileCacheDir: '/cache' });
    expect(inContainer.environment).toMatchObject(folder('/var/cache/lmcache-ci'));
    expect(inContainer.container.mounts).toContainEqual({
      source: '/cache/vllm',
      target: '/var/cache/lmcache-ci',
      readOnly: false,
    });
  });

  it("is a folder with the model's files, served under the model's name", () => {
    const [, vllm, baseline] = launchSpecs({ ...docker, modelPath: '/models/own' });
    for (const { args } of [vllm, baseline]) {
      expect(args.slice(0, 3)).toEqual(['/models/own', '--served-model-name', 'Qwen/Qwen3-14B']);
    }
    expect(vllm.container.mounts).toContainEqual({ source: '/models/own', target: '/models/own', readOnly: true });
  });
});

it('batch-invariant kernels can be switched off', () => {
  const [, vllm, baseline] = launchSpecs({ ...docker, batchInvariant: '0' });
  expect([vllm, baseline].map((spec) => spec.environment['VLLM_BATCH_INVARIANT'])).toEqual(['0', '0']);
});

import path from 'node:path';
import type { ContainerOptions, LaunchSpec, MainRole } from './launch-spec.js';
import type { ReservedGpu, RunPorts } from './live-run.js';

/** Everything that decides how the three engines of a run are launched. */
export interface LaunchOptions {
  readonly buildId: string;
  readonly engine: 'vllm' | 'sim';
  readonly runtime: 'docker' | 'process';
  /** The name it is served under. */
  readonly model: string;
  /** Where its files lie; null: `model` says that as well. */
  readonly modelPath: string | null;
  readonly image: string;
  readonly ports: RunPorts;
  /** Size of the LMCache server's memory tier in GB. */
  readonly l1SizeGb: number;
  /** Worker threads of the LMCache server. */
  readonly maxWorkers: number;
  /** Share of a GPU's memory that an engine takes; null: 0.5 on cards above 90 GB, else the engine's default. */
  readonly gpuMemoryUtilization: number | null;
  readonly batchInvariant: '0' | '1';
  /** `lmcache server`, or the module of the original suite's day, which has no HTTP. */
  readonly lmcacheLaunch: 'server' | 'module';
  /** What was added by hand: to both vLLMs, to the cache server. */
  readonly vllm: EngineAdditions;
  readonly lmcache: EngineAdditions;
  /** Where each vLLM keeps compiled code, in a folder of its own; null: wherever it likes. */
  readonly compileCacheDir: string | null;
  /** The first for LMCache and its vLLM, the second for the baseline; null on the simulator. */
  readonly gpus: readonly [ReservedGpu, ReservedGpu] | null;
  /** The Hugging Face cache on this machine. */
  readonly hfHome: string;
  /** A file with a Hugging Face token; it is mounted, so that no token stands in an environment. */
  readonly hfTokenPath: string | null;
  /** The simulator's own options; null with real engines. */
  readonly simulator: SimulatorLaunch | null;
}

/** Stands last on the command line and above our own variables. */
export interface EngineAdditions {
  readonly arguments: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
}

export interface SimulatorLaunch {
  readonly profile: string;
  readonly speed: number;
  readonly fault: string | null;
  /** Command of the simulator on the process runtime, e.g. `[node, dist/simulator/main.js]`. */
  readonly command: readonly string[];
}

const containerCacheDirectory = '/root/.cache/huggingface';
const containerCompileCache = '/var/cache/lmcache-ci';
const containerTokenPath = '/run/secrets/hf-token';
const largeGpuMiB = 90 * 1024;

const nameStems = { lmcache: 'lmcache-mp-test', vllm: 'vllm-mp-test', baseline: 'vllm-baseline-test' } as const;

/** The container's name, which is also the stem of the log file: `vllm-mp-test-<BUILD_ID>`. */
export function engineName(role: MainRole, buildId: string): string {
  return `${nameStems[role]}-${buildId}`;
}

/** The LMCache server, the vLLM that uses it, and the vLLM that does not: what the original suite starts. */
export function launchSpecs(options: LaunchOptions): readonly [LaunchSpec, LaunchSpec, LaunchSpec] {
  return [lmcacheSpec(options), vllmSpec(options), baselineSpec(options)];
}

/**
 * The cache server: `lmcache server` with its HTTP API, or `python3 -m lmcache.v1.multiprocess.server` with the
 * original suite's flags (LMCache 0.3.13).
 */
export function lmcacheSpec(options: LaunchOptions): LaunchSpec {
  const { ports, l1SizeGb, maxWorkers } = options;
  const isModule = options.lmcacheLaunch === 'module';
  const size = String(l1SizeGb);
  const common = ['--max-workers', String(maxWorkers), '--port', String(ports.lmcache)];
  return {
    role: 'lmcache',
    name: engineName('lmcache', options.buildId),
    program: isModule ? 'lmcache-module' : 'lmcache-server',
    args: isModule
      ? ['-m', 'lmcache.v1.multiprocess.server', '--cpu-buffer-size', size, ...common, ...options.lmcache.arguments]
      : [
          ...['--l1-size-gb', size, '--eviction-policy', 'LRU', ...common],
          ...['--http-host', '127.0.0.1', '--http-port', String(ports.lmcacheHttp)],
          ...options.lmcache.arguments,
        ],
    // Chunk keys are hashes: the server must hash as the engine does.
    environment: {
      PYTHONHASHSEED: '0',
      ...gpuEnvironment(options, 0),
      ...simulatorEnvironment(options, true),
      ...options.lmcache.variables,
    },
    container: containerOptions(options, 0, {
      entrypoint: isModule ? ['/opt/venv/bin/python3'] : ['/opt/venv/bin/lmcache', 'server'],
      mounts: [],
    }),
    command: isModule ? command(options, 'python3') : command(options, 'lmcache', 'server'),
    ports: isModule ? [ports.lmcache] : [ports.lmcache, ports.lmcacheHttp],
    healthUrl: isModule ? null : `http://127.0.0.1:${ports.lmcacheHttp}/healthcheck`,
  };
}

/** vLLM with the connector to the LMCache server. */
export function vllmSpec(options: LaunchOptions): LaunchSpec {
  return serveSpec(options, {
    role: 'vllm',
    gpu: 0,
    port: options.ports.vllm,
    connector: ['--kv-transfer-config', JSON.stringify(connectorConfig(options))],
  });
}

/** The same vLLM without LMCache, on a GPU of its own. */
export function baselineSpec(options: LaunchOptions): LaunchSpec {
  return serveSpec(options, { role: 'baseline', gpu: 1, port: options.ports.baseline, connector: [] });
}

function serveSpec(
  options: LaunchOptions,
  engine: {
    readonly role: 'vllm' | 'baseline';
    readonly gpu: 0 | 1;
    readonly port: number;
    readonly connector: readonly string[];
  },
): LaunchSpec {
  const { role, gpu, port, connector } = engine;
  const utilization = memoryUtilization(options, gpu);
  return {
    role,
    name: engineName(role, options.buildId),
    program: 'vllm-serve',
    args: [
      options.modelPath ?? options.model,
      ...(options.modelPath === null ? [] : ['--served-model-name', options.model]),
      ...connector,
      ...['--attention-backend', 'FLASH_ATTN', '--port', String(port), '--no-async-scheduling'],
      ...(utilization === null ? [] : ['--gpu-memory-utilization', String(utilization)]),
      ...options.vllm.arguments,
    ],
    environment: {
      VLLM_ENABLE_V1_MULTIPROCESSING: '0',
      VLLM_BATCH_INVARIANT: options.batchInvariant,
      PYTHONHASHSEED: '0',
      // Offers POST /reset_prefix_cache, without which a second run would read the GPU's own cache.
      VLLM_SERVER_DEV_MODE: '1',
      ...gpuEnvironment(options, gpu),
      ...hubEnvironment(options),
      ...compileEnvironment(options, role),
      ...simulatorEnvironment(options, role === 'vllm'),
      ...options.vllm.variables,
    },
    // The image's own entrypoint is `vllm serve`.
    container: containerOptions(options, gpu, { entrypoint: null, mounts: modelMounts(options, role) }),
    command: command(options, 'vllm', 'serve'),
    ports: [port],
    healthUrl: `http://127.0.0.1:${port}/health`,
  };
}

function connectorConfig(options: LaunchOptions): object {
  const connector = { kv_connector: 'LMCacheMPConnector', kv_role: 'kv_both' };
  const port = options.ports.lmcache;
  if (options.lmcacheLaunch === 'module')
    return { ...connector, kv_connector_extra_config: { 'lmcache.mp.port': port } };
  return {
    ...connector,
    // A cache server that dies costs time, not answers.
    kv_load_failure_policy: 'recompute',
    kv_connector_extra_config: {
      'lmcache.mp.host': 'tcp://localhost',
      'lmcache.mp.port': port,
      'lmcache.mp.mq_timeout': 10,
    },
  };
}

/** The simulator takes what was recorded on the hardware that it simulates, a card above 90 GB. */
function memoryUtilization(options: LaunchOptions, gpu: 0 | 1): number | null {
  if (options.gpuMemoryUtilization !== null) return options.gpuMemoryUtilization;
  if (options.gpus === null) return 0.5;
  return options.gpus[gpu].memoryTotalMiB > largeGpuMiB ? 0.5 : null;
}

/** A container sees only its own card, as number 0; a process sees all, numbered as nvidia-smi numbers them. */
function gpuEnvironment(options: LaunchOptions, gpu: 0 | 1): Record<string, string> {
  if (options.runtime === 'docker') return { CUDA_VISIBLE_DEVICES: '0' };
  return { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: String(options.gpus?.[gpu].index ?? gpu) };
}

function hubEnvironment(options: LaunchOptions): Record<string, string> {
  const { runtime, hfHome, hfTokenPath } = options;
  const tokenPath = runtime === 'docker' ? containerTokenPath : hfTokenPath;
  return {
    ...(runtime === 'process' ? { HF_HOME: hfHome } : {}),
    ...(hfTokenPath !== null && tokenPath !== null ? { HF_TOKEN_PATH: tokenPath } : {}),
  };
}

/** A fault is LMCache's or its engine's: the baseline stays a sound reference unless an entry names it. */
function simulatorEnvironment(options: LaunchOptions, withFault: boolean): Record<string, string> {
  const { simulator } = options;
  if (simulator === null) return {};
  const entries = simulator.fault?.split(',') ?? [];
  const fault = entries.filter((entry) => withFault || entry.startsWith('baseline:')).join(',');
  return {
    SIM_PROFILE: simulator.profile,
    SIM_SPEED: String(simulator.speed),
    ...(fault ? { SIM_FAULT: fault } : {}),
  };
}

/**
 * vLLM's own cache, the inductor's and Triton's, apart for each of the two engines: they compile side by side, and a second
 * start finds all of it (44 s instead of 75 to 150 s were seen).
 */
function compileEnvironment(options: LaunchOptions, role: MainRole): Record<string, string> {
  const { compileCacheDir, runtime } = options;
  if (compileCacheDir === null) return {};
  const folder = runtime === 'docker' ? containerCompileCache : path.join(compileCacheDir, role);
  return {
    VLLM_CACHE_ROOT: `${folder}/vllm`,
    TORCHINDUCTOR_CACHE_DIR: `${folder}/inductor`,
    TRITON_CACHE_DIR: `${folder}/triton`,
  };
}

function modelMounts(options: LaunchOptions, role: MainRole): ContainerOptions['mounts'] {
  const { hfHome, hfTokenPath, compileCacheDir } = options;
  const model = options.modelPath ?? options.model;
  return [
    { source: hfHome, target: containerCacheDirectory, readOnly: false },
    ...(hfTokenPath === null ? [] : [{ source: hfTokenPath, target: containerTokenPath, readOnly: true }]),
    ...(compileCacheDir === null
      ? []
      : [{ source: path.join(compileCacheDir, role), target: containerCompileCache, readOnly: false }]),
    // A model in a directory of this machine is found at the same place.
    ...(path.isAbsolute(model) ? [{ source: model, target: model, readOnly: true }] : []),
  ];
}

function containerOptions(
  options: LaunchOptions,
  gpu: 0 | 1,
  rest: Pick<ContainerOptions, 'entrypoint' | 'mounts'>,
): ContainerOptions {
  const card = options.gpus?.[gpu];
  return {
    image: options.image,
    ...rest,
    gpu: card === undefined ? null : { runtime: 'nvidia', uuids: [card.uuid] },
  };
}

function command(options: LaunchOptions, ...program: readonly string[]): readonly string[] {
  return [...(options.simulator?.command ?? []), ...program];
}

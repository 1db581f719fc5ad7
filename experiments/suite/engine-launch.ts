import path from 'node:path';
import type { ContainerOptions } from '../../engines/launch-spec.js';
import type { ReservedGpu } from '../../engines/live-run.js';
import type { ServerSpec } from '../engine-host.js';
import type { LmcacheConfiguration, LmcacheServer, RemoteServer } from './lmcache-configuration.js';
import type { CommandEngine, SglangEngine, StartedEngineConfiguration, VllmEngine } from './terms.js';

/** How engines are started on this machine; the same for all of a run. */
export interface LaunchPlan {
  readonly engine: 'vllm' | 'sim';
  readonly runtime: 'docker' | 'process';
  /** Docker only. */
  readonly image: string;
  readonly model: string;
  readonly hfHome: string;
  /** A file with a Hugging Face token; null: none. */
  readonly hfTokenPath: string | null;
  /** null with real engines. */
  readonly simulator: {
    readonly profile: string;
    readonly speed: number;
    readonly fault: string | null;
    /** The simulator's command on the process runtime, e.g. `[node, dist/simulator/main.js]`. */
    readonly command: readonly string[];
  } | null;
}

/** What one experiment decides about one engine. */
export interface EnginePlace {
  readonly port: number;
  /** Numbers of its GPUs, as nvidia-smi numbers them. */
  readonly gpus: readonly number[];
  /** The reserved cards; null on the simulator. */
  readonly reserved: readonly ReservedGpu[] | null;
  /** LMCache's configuration file; null: without LMCache. */
  readonly configFile: string | null;
  /** Directories that the engine writes KV cache to, or reads its configuration from. */
  readonly directories: readonly string[];
}

const defaultUtilization = 0.8;
const containerCache = '/root/.cache/huggingface';
const containerToken = '/run/secrets/hf-token';

/** An engine as its configuration says. @throws Error for an SGLang with an LMCache server, which it cannot use. */
export function engineSpec(engine: StartedEngineConfiguration, place: EnginePlace, plan: LaunchPlan): ServerSpec {
  if (engine.program === 'command') return commandSpec(engine, place, plan);
  if (engine.program === 'sglang' && engine.lmcache?.server !== undefined) {
    throw new Error('SGLang has LMCache in its own process: give it lmcache(...), not lmcacheServer(...)');
  }
  // The simulator stands in for both: it has vLLM's command line.
  const isSglang = engine.program === 'sglang' && plan.engine === 'vllm';
  const program = isSglang ? ['python3', '-m', 'sglang.launch_server'] : ['vllm', 'serve'];
  return {
    program: isSglang ? 'other' : 'vllm-serve',
    command: [...(plan.simulator?.command ?? []), ...program],
    args: isSglang ? sglangArguments(engine, place, plan) : vllmArguments(engine, place, plan),
    environment: environmentOf(engine, place, plan),
    container: container(plan, place, isSglang ? program : null),
    ports: [place.port],
    healthUrl: `http://127.0.0.1:${place.port}/health`,
  };
}

function commandSpec(engine: CommandEngine, place: EnginePlace, plan: LaunchPlan): ServerSpec {
  const model = engine.model ?? plan.model;
  const [program = '', ...args] = engine.command.map((word) =>
    word.replaceAll('{port}', String(place.port)).replaceAll('{model}', model),
  );
  return {
    program: 'other',
    command: [program],
    args,
    environment: environmentOf(engine, place, plan),
    container: container(plan, place, [program]),
    ports: [place.port],
    healthUrl: `http://127.0.0.1:${place.port}${engine.healthPath ?? '/health'}`,
  };
}

function environmentOf(
  engine: StartedEngineConfiguration,
  place: EnginePlace,
  plan: LaunchPlan,
): Readonly<Record<string, string>> {
  return {
    // Keys of chunks are hashes: engines that share a cache must hash alike.
    PYTHONHASHSEED: '0',
    ...gpuEnvironment(place, plan),
    ...hubEnvironment(plan),
    ...lmcacheEnvironment(engine.lmcache ?? null, place),
    ...simulatorEnvironment(plan),
    ...engine.environment,
  };
}

/** LMCache's own remote server: `python3 -m lmcache.v1.server HOST PORT [DEVICE]`. */
export function cacheServerSpec(server: RemoteServer, device: string, plan: LaunchPlan): ServerSpec {
  const program = ['python3', '-m', 'lmcache.v1.server'];
  return {
    program: 'other',
    command: [...(plan.simulator?.command ?? []), ...program],
    args: [server.host, String(server.port), device],
    environment: { PYTHONHASHSEED: '0', ...simulatorEnvironment(plan) },
    container: {
      image: plan.image,
      // As in LMCache's images, and in the simulator's.
      entrypoint: ['/opt/venv/bin/python3', '-m', 'lmcache.v1.server'],
      mounts: path.isAbsolute(device) ? [{ source: device, target: device, readOnly: false }] : [],
      gpu: null,
    },
    ports: [server.port],
    healthUrl: null,
  };
}

/** `lmcache server`, which engines reach through LMCacheMPConnector. */
export function lmcacheServerSpec(
  { port, httpPort, l1SizeGb }: LmcacheServer,
  gpus: readonly ReservedGpu[] | null,
  plan: LaunchPlan,
): ServerSpec {
  // It copies from the memory of all GPUs whose engines it serves.
  const place = { gpus: gpus?.map(({ index }) => index) ?? [] };
  return {
    program: 'lmcache-server',
    command: [...(plan.simulator?.command ?? []), 'lmcache', 'server'],
    args: [
      ...['--l1-size-gb', String(l1SizeGb), '--eviction-policy', 'LRU', '--port', String(port)],
      ...['--http-host', '127.0.0.1', '--http-port', String(httpPort)],
    ],
    environment: {
      PYTHONHASHSEED: '0',
      ...(gpus === null ? {} : gpuEnvironment(place, plan)),
      ...simulatorEnvironment(plan),
    },
    container: {
      image: plan.image,
      entrypoint: ['/opt/venv/bin/lmcache', 'server'],
      mounts: [],
      gpu: gpus === null ? null : { runtime: 'nvidia', uuids: gpus.map(({ uuid }) => uuid) },
    },
    ports: [port, httpPort],
    healthUrl: `http://127.0.0.1:${httpPort}/healthcheck`,
  };
}

/** The flags of an engine's `options`: `{ max_model_len: 8192 }` is `--max-model-len 8192`, false is `--no-...`. */
export function optionFlags(options: VllmEngine['options']): readonly string[] {
  return Object.entries(options ?? {}).flatMap(([name, value]) => {
    const flag = name.replaceAll('_', '-');
    if (value === true || value === '') return [`--${flag}`];
    if (value === false) return [`--no-${flag}`];
    return [`--${flag}`, typeof value === 'object' ? JSON.stringify(value) : String(value)];
  });
}

function vllmArguments(engine: VllmEngine | SglangEngine, place: EnginePlace, plan: LaunchPlan): readonly string[] {
  const { options = {}, gpuMemoryUtilization = defaultUtilization, tensorParallelSize = 1 } = engine;
  return [
    engine.model ?? plan.model,
    ...['--port', String(place.port), '--gpu-memory-utilization', String(gpuMemoryUtilization)],
    ...['--tensor-parallel-size', String(tensorParallelSize)],
    // These experiments compare what LMCache brings: the engine's own cache is off unless it is asked for.
    ...('enable_prefix_caching' in options ? [] : ['--no-enable-prefix-caching']),
    ...optionFlags(options),
    ...connectorFlags(engine, place),
  ];
}

function connectorFlags({ lmcache }: VllmEngine | SglangEngine, place: EnginePlace): readonly string[] {
  const server = lmcache?.server;
  if (server === undefined && place.configFile === null) return [];
  const connector =
    server === undefined
      ? { kv_connector: 'LMCacheConnectorV1', kv_role: 'kv_both' }
      : {
          kv_connector: 'LMCacheMPConnector',
          kv_role: 'kv_both',
          // A cache server that dies costs time, not answers.
          kv_load_failure_policy: 'recompute',
          kv_connector_extra_config: { 'lmcache.mp.host': 'tcp://localhost', 'lmcache.mp.port': server.port },
        };
  return ['--kv-transfer-config', JSON.stringify(connector)];
}

function sglangArguments(engine: VllmEngine | SglangEngine, place: EnginePlace, plan: LaunchPlan): readonly string[] {
  const { options = {}, gpuMemoryUtilization = defaultUtilization, tensorParallelSize = 1 } = engine;
  return [
    ...['--model-path', engine.model ?? plan.model, '--port', String(place.port)],
    ...['--mem-fraction-static', String(gpuMemoryUtilization), '--tp-size', String(tensorParallelSize)],
    ...(place.configFile === null ? [] : ['--enable-lmcache']),
    ...optionFlags(options),
  ];
}

function lmcacheEnvironment(configuration: LmcacheConfiguration | null, place: EnginePlace): Record<string, string> {
  if (place.configFile === null) return {};
  return { LMCACHE_CONFIG_FILE: place.configFile, ...configuration?.environment };
}

/** A container sees only its own cards, numbered from 0. */
function gpuEnvironment(place: Pick<EnginePlace, 'gpus'>, plan: LaunchPlan): Record<string, string> {
  const numbers = plan.runtime === 'docker' ? place.gpus.map((_, index) => index) : place.gpus;
  return { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: numbers.join(',') };
}

function hubEnvironment({ runtime, hfHome, hfTokenPath }: LaunchPlan): Record<string, string> {
  const token = runtime === 'docker' ? containerToken : hfTokenPath;
  return {
    ...(runtime === 'process' ? { HF_HOME: hfHome } : {}),
    ...(hfTokenPath !== null && token !== null ? { HF_TOKEN_PATH: token } : {}),
  };
}

function simulatorEnvironment({ simulator }: LaunchPlan): Record<string, string> {
  if (simulator === null) return {};
  return {
    SIM_PROFILE: simulator.profile,
    SIM_SPEED: String(simulator.speed),
    ...(simulator.fault === null ? {} : { SIM_FAULT: simulator.fault }),
  };
}

function container(plan: LaunchPlan, place: EnginePlace, entrypoint: readonly string[] | null): ContainerOptions {
  const { hfHome, hfTokenPath, model } = plan;
  return {
    image: plan.image,
    entrypoint,
    mounts: [
      { source: hfHome, target: containerCache, readOnly: false },
      ...(hfTokenPath === null ? [] : [{ source: hfTokenPath, target: containerToken, readOnly: true }]),
      ...(path.isAbsolute(model) ? [{ source: model, target: model, readOnly: true }] : []),
      ...place.directories.map((directory) => ({ source: directory, target: directory, readOnly: false })),
    ],
    gpu: place.reserved === null ? null : { runtime: 'nvidia', uuids: place.reserved.map(({ uuid }) => uuid) },
  };
}

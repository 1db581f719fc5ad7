import path from 'node:path';
import type { LaunchSpec } from '../../engines/launch-spec.js';
import type { ReservedGpu } from '../../engines/live-run.js';
import type { PlannedExperiment } from './grid.js';
import { gpusOf } from './model-registry.js';

/** What all servers of a sweep have in common. */
export interface ServerSetup {
  readonly runtime: 'docker' | 'process';
  /** Docker only. */
  readonly image: string;
  /** The environment's variables. */
  readonly variables: Readonly<Record<string, string>>;
  /** The Hugging Face cache on this machine. */
  readonly hfHome: string;
  /** A file with a Hugging Face token; null: none. */
  readonly hfTokenPath: string | null;
  /** null with real servers. */
  readonly simulator: {
    /** What comes before `vllm serve` on the process runtime. */
    readonly command: readonly string[];
    readonly profile: string;
    readonly speed: number;
    readonly fault: string | null;
  } | null;
}

const containerCacheDirectory = '/root/.cache/huggingface';
const containerTokenPath = '/run/secrets/hf-token';

/**
 * The server of one experiment, as upstream's runner starts it. LMCache's size is a size for each GPU: every worker of
 * a server has a tier of its own.
 * @param gpus the cards it gets; null on the simulator
 * @param numbers their numbers among all that the sweep uses
 */
export function serverSpec(
  experiment: PlannedExperiment,
  place: {
    readonly runId: string;
    readonly port: number;
    readonly gpus: readonly ReservedGpu[] | null;
    readonly numbers: readonly number[];
    readonly logFile: string;
    /** From 1: each try is a server of its own. */
    readonly tried: number;
  },
  setup: ServerSetup,
): LaunchSpec {
  const { port, logFile } = place;
  const server = `${experiment.position}-${place.tried}`;
  return {
    role: `server-${server}`,
    name: `${place.runId}-${server}`,
    program: 'vllm-serve',
    args: serverArguments(experiment, port),
    environment: {
      ...setup.variables,
      ...cacheVariables(experiment),
      // Chunk keys are hashes.
      PYTHONHASHSEED: '0',
      ...gpuVariables(setup, place.gpus, place.numbers),
      ...hubVariables(setup),
      ...simulatorVariables(setup),
    },
    container: {
      image: setup.image,
      entrypoint: null,
      mounts: modelMounts(setup, experiment.configuration.model.path),
      gpu: place.gpus === null ? null : { runtime: 'nvidia', uuids: place.gpus.map(({ uuid }) => uuid) },
    },
    command: [...(setup.simulator?.command ?? []), 'vllm', 'serve'],
    ports: [port],
    healthUrl: `http://127.0.0.1:${port}/health`,
    logFiles: { stdout: logFile, stderr: logFile },
  };
}

function serverArguments({ configuration }: PlannedExperiment, port: number): readonly string[] {
  const { path: modelPath, tensorParallelSize, pipelineParallelSize, maxModelLength } = configuration.model;
  const connector = { kv_connector: 'LMCacheConnectorV1', kv_role: 'kv_both' };
  return [
    modelPath,
    ...['--port', String(port), '--max-model-len', String(maxModelLength)],
    ...['--max-num-batched-tokens', '16384', '--gpu-memory-utilization', '0.95'],
    ...(tensorParallelSize > 1 ? ['--tensor-parallel-size', String(tensorParallelSize)] : []),
    ...(pipelineParallelSize > 1 ? ['--pipeline-parallel-size', String(pipelineParallelSize)] : []),
    // How much of each prompt came out of a cache.
    '--enable-prompt-tokens-details',
    ...['--kv-transfer-config', JSON.stringify(connector)],
  ];
}

function cacheVariables({ configuration }: PlannedExperiment): Record<string, string> {
  const { cacheSizeGb, conversationEviction, conversationEvictionConfig, model } = configuration;
  const extra = {
    use_conversation_eviction: true,
    ...(conversationEvictionConfig === null ? {} : { conversation_eviction_config: conversationEvictionConfig }),
  };
  return {
    LMCACHE_MAX_LOCAL_CPU_SIZE: String(cacheSizeGb / gpusOf(model)),
    ...(conversationEviction ? { LMCACHE_EXTRA_CONFIG: JSON.stringify(extra) } : {}),
  };
}

/** A container sees only its own cards, numbered from 0; a process sees all, as nvidia-smi numbers them. */
function gpuVariables(
  setup: ServerSetup,
  gpus: readonly ReservedGpu[] | null,
  numbers: readonly number[],
): Record<string, string> {
  const seen = setup.runtime === 'docker' ? numbers.map((_, at) => at) : (gpus?.map(({ index }) => index) ?? numbers);
  return { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: seen.join(',') };
}

function hubVariables({ runtime, hfHome, hfTokenPath }: ServerSetup): Record<string, string> {
  const tokenPath = runtime === 'docker' ? containerTokenPath : hfTokenPath;
  return {
    ...(runtime === 'process' ? { HF_HOME: hfHome } : {}),
    ...(hfTokenPath !== null && tokenPath !== null ? { HF_TOKEN_PATH: tokenPath } : {}),
  };
}

function simulatorVariables({ simulator }: ServerSetup): Record<string, string> {
  if (simulator === null) return {};
  const { profile, speed, fault } = simulator;
  return { SIM_PROFILE: profile, SIM_SPEED: String(speed), ...(fault === null ? {} : { SIM_FAULT: fault }) };
}

function modelMounts({ hfHome, hfTokenPath }: ServerSetup, model: string): LaunchSpec['container']['mounts'] {
  return [
    { source: hfHome, target: containerCacheDirectory, readOnly: false },
    ...(hfTokenPath === null ? [] : [{ source: hfTokenPath, target: containerTokenPath, readOnly: true }]),
    // A model in a directory of this machine is found at the same place.
    ...(path.isAbsolute(model) ? [{ source: model, target: model, readOnly: true }] : []),
  ];
}

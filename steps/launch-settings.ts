import { defineSettings, type SettingValues } from './settings.js';

/** How the engines are launched and which GPUs they may take. */
export const launchSettings = defineSettings({
  L1_SIZE_GB: {
    type: 'number',
    default: 80,
    min: 0,
    exclusiveMin: true,
    unit: 'GB',
    aliases: ['CPU_BUFFER_SIZE'],
    description: "Size of the LMCache server's memory tier.",
  },
  MAX_WORKERS: { type: 'integer', default: 4, min: 1, description: 'Worker threads of the LMCache server.' },
  GPU_MEMORY_UTILIZATION: {
    type: 'number',
    default: null,
    defaultText: "0.5 on GPUs above 90 GB, else the engine's own",
    min: 0,
    max: 1,
    exclusiveMin: true,
    description: "Share of a GPU's memory that each vLLM takes.",
  },
  BATCH_INVARIANT: {
    type: 'choice',
    choices: ['0', '1'],
    default: '1',
    description: 'Batch-invariant kernels (VLLM_BATCH_INVARIANT): the same answer whatever shares the batch, slower.',
  },
  LMCACHE_LAUNCH: {
    type: 'choice',
    choices: ['server', 'module'],
    default: 'server',
    description:
      'lmcache server with its HTTP API, or python3 -m lmcache.v1.multiprocess.server as older releases need it.',
  },
  VLLM_EXTRA_ARGS: {
    type: 'arguments',
    default: null,
    reserved: ['--port', '--kv-transfer-config', '--served-model-name', '--model', '--uds', '--api-key'],
    description:
      'Further arguments of both vLLMs, e.g. --max-model-len 16384; quotes keep spaces, no shell reads them.',
  },
  LMCACHE_EXTRA_ARGS: {
    type: 'arguments',
    default: null,
    reserved: ['--port', '--http-port', '--http-host'],
    description: 'Further arguments of the LMCache server.',
  },
  COMPILE_CACHE_DIR: {
    type: 'path',
    default: null,
    defaultText: '~/.cache/lmcache-ci/compile; in containers none',
    description: 'Folder in which each vLLM keeps what it compiled, for a warm start the next time.',
  },
  MIN_FREE_GPU_MIB: {
    type: 'integer',
    default: 70_000,
    min: 0,
    unit: 'MiB',
    description: 'Free memory a GPU must have to be taken.',
  },
  MAX_GPU_UTILIZATION: {
    type: 'integer',
    default: 20,
    min: 0,
    max: 100,
    unit: '%',
    description: 'Utilization above which a GPU counts as busy.',
  },
  GPU_WAIT_SECONDS: {
    type: 'integer',
    default: 300,
    min: 0,
    unit: 's',
    description: 'How long to wait for GPU memory that an ended process still holds.',
  },
  HF_TOKEN_PATH: {
    type: 'path',
    default: null,
    defaultText: 'the token file in HF_HOME, if any',
    description: 'File with a Hugging Face token, for gated models; mounted into the engines.',
  },
});

export type LaunchSettings = SettingValues<typeof launchSettings>;

import { FAULT_PATTERN, FAULTS } from '../simulator/faults.js';
import { profileNames } from '../simulator/profile-files.js';
import { defineSettings, type SettingValues } from './settings.js';

/** What every step knows, seeds' names and defaults first. */
export const commonSettings = defineSettings({
  BUILD_ID: {
    type: 'text',
    default: null,
    defaultText: "the CI's build id, else local_<timestamp>",
    pattern: /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/,
    patternText: 'a letter or digit, then up to 62 letters, digits, dots, dashes or underscores',
    description: 'Unique identifier of this run; part of every container name and of the results directory.',
  },
  RESULTS_DIR: {
    type: 'path',
    default: null,
    defaultText: '/tmp/lmcache_ci_results_${BUILD_ID}',
    description: 'Directory for all outputs of the run.',
  },
  VENV_DIR: {
    type: 'path',
    default: null,
    defaultText: '<workspace>/.venv',
    description: 'Python virtual environment path.',
  },
  MODEL: {
    type: 'text',
    default: 'Qwen/Qwen3-14B',
    pattern: /^[^-\s].*$/,
    patternText: 'a model name or path that does not begin with a dash',
    description: 'Model to use for testing.',
  },
  MODEL_PATH: {
    type: 'path',
    default: null,
    description: "Folder with the model's files; it is then served under the name MODEL. Unset: MODEL says both.",
  },
  VLLM_PORT: { type: 'port', default: 8000, description: 'Port for vLLM with LMCache.' },
  VLLM_BASELINE_PORT: { type: 'port', default: 9000, description: 'Port for baseline vLLM.' },
  LMCACHE_PORT: { type: 'port', default: 6555, description: 'Port for LMCache server.' },
  LMCACHE_HTTP_PORT: { type: 'port', default: 8080, description: "Port for the LMCache server's HTTP API." },
  MAX_WAIT_SECONDS: { type: 'integer', default: 300, min: 1, unit: 's', description: 'Time-out for vLLM start-up.' },
  REQUEST_TIMEOUT_SECONDS: {
    type: 'integer',
    default: 3600,
    min: 1,
    unit: 's',
    description: 'Time limit of one request of a test; simulated seconds on the simulator.',
  },
  ENGINE: {
    type: 'choice',
    choices: ['auto', 'vllm', 'sim'],
    default: 'auto',
    description: 'Real vLLM, or the embedded simulator; auto takes vLLM where Docker and two fitting GPUs are.',
  },
  RUNTIME: {
    type: 'choice',
    choices: ['auto', 'docker', 'process', 'external'],
    default: 'auto',
    description: 'Containers, child processes, or servers that already run.',
  },
  VLLM_URL: { type: 'url', default: null, description: 'RUNTIME=external: base URL of vLLM with LMCache.' },
  VLLM_BASELINE_URL: { type: 'url', default: null, description: 'RUNTIME=external: base URL of the baseline vLLM.' },
  LMCACHE_URL: {
    type: 'url',
    default: null,
    description: "RUNTIME=external: base URL of the LMCache server's HTTP API.",
  },
  HF_HOME: {
    type: 'path',
    default: null,
    defaultText: '~/.cache/huggingface',
    description: 'Hugging Face cache, mounted into the engines.',
  },
  SIM_PROFILE: {
    type: 'text',
    default: 'h200',
    pattern: new RegExp(`^(?:${profileNames.join('|')}|.*[/\\\\].*|.*[.]json)$`, 's'),
    patternText: `one of ${profileNames.join(', ')}, or the path of a profile file`,
    description: `The simulator's timing profile: GPU, engine version and kernels (${profileNames.join(', ')}, or a file).`,
  },
  SIM_SPEED: {
    type: 'number',
    default: 10,
    min: 0.1,
    max: 100,
    description:
      'How many times faster than the simulated hardware the simulator runs; measured times are converted back.',
  },
  SIM_FAULT: {
    type: 'text',
    default: null,
    pattern: FAULT_PATTERN,
    patternText: `a list such as crash-after=9,slower=20 of ${Object.keys(FAULTS).join(', ')}`,
    description: 'Faults for the simulator to play, for tests and demonstrations (docs/simulator.md lists them).',
  },
});

export type CommonSettings = SettingValues<typeof commonSettings>;

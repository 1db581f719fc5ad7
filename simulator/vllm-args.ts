import { type FlagValue, ownError, type ParserSpec, parseArguments } from './argparse.js';
import { checkSpeculativeConfig } from './config-argument.js';
import { EngineConfigError } from './engine-config-error.js';
import { flexibleArguments } from './flexible-arguments.js';
import type { CorsSettings } from './http/cors.js';
import { isJsonObject } from './http/pydantic-report.js';
import { spacedJson } from './http/schema-instance.js';
import { type KvTransferConfig, parseKvTransferConfig } from './lmcache/kv-transfer-config.js';
import { checkOutputParsers } from './output-parsers.js';
import { VLLM_SERVE_FLAGS } from './vllm-flags.js';

export interface VllmServeOptions {
  readonly model: string;
  /** Names under which the model answers; the first one stands in the answers. */
  readonly servedModelNames: readonly string[];
  /** null: all interfaces. */
  readonly host: string | null;
  readonly port: number;
  readonly apiKeys: readonly string[];
  /** A folder, or a model's name. */
  readonly tokenizer: string | null;
  readonly maxModelLen: number | null;
  /** `max_new_tokens` of --override-generation-config: no answer has more tokens; null: none is given. */
  readonly mostOutputTokens: number | null;
  /** What stands in place of values of the model's config.json. */
  readonly hfOverrides: Readonly<Record<string, unknown>>;
  readonly maxNumBatchedTokens: number | null;
  readonly maxNumSeqs: number | null;
  readonly gpuMemoryUtilization: number;
  readonly gpuBlocksOverride: number | null;
  readonly tensorParallelSize: number;
  /** --enforce-eager: no CUDA graphs. */
  readonly eager: boolean;
  /** The next step is chosen while one runs; vLLM's default. */
  readonly asyncScheduling: boolean;
  readonly pipelineParallelSize: number;
  readonly prefixCaching: boolean;
  readonly promptTokensDetails: boolean;
  readonly forceIncludeUsage: boolean;
  readonly accessLog: boolean;
  /** --enable-request-id-headers: answers carry X-Request-Id. */
  readonly requestIdHeaders: boolean;
  readonly cors: CorsSettings;
  /** --enable-server-load-tracking: /load counts. */
  readonly loadTracking: boolean;
  /** --enable-sleep-mode. */
  readonly sleepMode: boolean;
  /** --tokens-only: answers are token ids, nothing is detokenised. */
  readonly tokensOnly: boolean;
  /** --enable-auto-tool-choice with --tool-call-parser. */
  readonly toolParser: boolean;
  readonly connector: KvTransferConfig | null;
  /** What was given, as the log's "non-default args" shows it. */
  readonly given: Readonly<Record<string, unknown>>;
  /** Flags that were accepted but change nothing here. */
  readonly withoutEffect: readonly string[];
}

/** Share of the GPU's memory, by vLLM 0.26's default. */
const DEFAULT_MEMORY_UTILIZATION = 0.92;
const DEFAULT_MODEL = 'Qwen/Qwen3-0.6B';
const LORA_MODULE_FIELDS = ['name', 'path', 'base_model_name', 'is_3d_lora_weight'];

const USED_FLAGS = new Set([
  'model',
  'served-model-name',
  'host',
  'port',
  'api-key',
  'tokenizer',
  'max-model-len',
  'hf-overrides',
  'max-num-batched-tokens',
  'max-num-seqs',
  'override-generation-config',
  'gpu-memory-utilization',
  'num-gpu-blocks-override',
  'tensor-parallel-size',
  'enforce-eager',
  'async-scheduling',
  'pipeline-parallel-size',
  'enable-prefix-caching',
  'enable-prompt-tokens-details',
  'enable-force-include-usage',
  'disable-uvicorn-access-log',
  'kv-transfer-config',
  'enable-auto-tool-choice',
  'tool-call-parser',
  'enable-server-load-tracking',
  'enable-sleep-mode',
  'tokens-only',
  'disable-fastapi-docs',
  'enable-request-id-headers',
  'allowed-origins',
  'allowed-methods',
  'allowed-headers',
  'allow-credentials',
]);

export const VLLM_SERVE_PARSER: ParserSpec = {
  program: 'vllm serve',
  usage: {
    own: 'vllm serve [model_tag] [options]',
    top: 'vllm [-h] [-v] {chat,complete,serve,launch,bench,collect-env,run-batch} ...',
    topProgram: 'vllm',
  },
  flags: VLLM_SERVE_FLAGS,
  maxPositionals: 1,
};

/** `python3 -m vllm.entrypoints.openai.api_server`: the model only comes as --model; one in front is taken and forgotten. */
export const API_SERVER_PARSER: ParserSpec = {
  program: 'api_server.py',
  usage: { own: 'api_server.py [-h] [options]', top: 'api_server.py [-h] [options]', topProgram: 'api_server.py' },
  flags: VLLM_SERVE_FLAGS,
  maxPositionals: 1,
};

/**
 * Parses what follows `vllm serve`, or the module's name.
 * @throws UsageError (exit code 2) as argparse, EngineConfigError (exit code 1) for values the engine refuses,
 * HelpRequested.
 */
export function parseVllmServe(parser: ParserSpec, argv: readonly string[]): VllmServeOptions {
  const isServe = parser === VLLM_SERVE_PARSER;
  const { positionals, values } = parseArguments(parser, flexibleArguments(argv, isServe));
  const text = (name: string): string | null => {
    const value = values.get(name);
    return typeof value === 'string' ? value : null;
  };
  const number = (name: string): number | null => {
    const value = values.get(name);
    return typeof value === 'number' ? value : null;
  };
  const list = (name: string): readonly string[] => {
    const value = values.get(name);
    return Array.isArray(value) ? value.map(String) : [];
  };
  const toggle = (name: string, byDefault: boolean): boolean => {
    const value = values.get(name);
    return typeof value === 'boolean' ? value : byDefault;
  };
  const listOrEverything = (name: string): readonly string[] => (values.has(name) ? list(name) : ['*']);
  checkLoraModules(parser, list('lora-modules'));
  checkCombinations(text, toggle);
  const speculative = values.get('speculative-config');
  if (isJsonObject(speculative)) checkSpeculativeConfig(speculative);
  const model = (isServe ? positionals[0] : undefined) ?? text('model') ?? DEFAULT_MODEL;
  const names = list('served-model-name');
  const gpuMemoryUtilization = number('gpu-memory-utilization') ?? DEFAULT_MEMORY_UTILIZATION;
  if (!(gpuMemoryUtilization > 0 && gpuMemoryUtilization <= 1)) {
    throw new EngineConfigError(
      `1 validation error for CacheConfig\ngpu_memory_utilization\n  Input should be greater than 0 and less than or equal to 1 [input_value=${gpuMemoryUtilization}]`,
    );
  }
  const maxModelLen = number('max-model-len');
  const overrides = values.get('hf-overrides');
  const generation = values.get('override-generation-config');
  const mostOutputTokens = isJsonObject(generation) ? generation.max_new_tokens : null;
  return {
    model,
    servedModelNames: names.length > 0 ? names : [model],
    host: text('host'),
    port: checkPort(number('port') ?? 8000),
    apiKeys: list('api-key'),
    tokenizer: text('tokenizer'),
    maxModelLen: maxModelLen === -1 ? null : atLeastOne('max_model_len', maxModelLen),
    mostOutputTokens: typeof mostOutputTokens === 'number' ? mostOutputTokens : null,
    hfOverrides: isJsonObject(overrides) ? overrides : {},
    maxNumBatchedTokens: atLeastOne('max_num_batched_tokens', number('max-num-batched-tokens')),
    maxNumSeqs: atLeastOne('max_num_seqs', number('max-num-seqs')),
    gpuMemoryUtilization,
    gpuBlocksOverride: atLeastOne('num_gpu_blocks_override', number('num-gpu-blocks-override')),
    eager: toggle('enforce-eager', false),
    asyncScheduling: toggle('async-scheduling', true),
    tensorParallelSize: atLeastOne('tensor_parallel_size', number('tensor-parallel-size')) ?? 1,
    pipelineParallelSize: atLeastOne('pipeline_parallel_size', number('pipeline-parallel-size')) ?? 1,
    prefixCaching: toggle('enable-prefix-caching', true),
    promptTokensDetails: toggle('enable-prompt-tokens-details', false),
    forceIncludeUsage: toggle('enable-force-include-usage', false),
    toolParser: toggle('enable-auto-tool-choice', false),
    accessLog: !toggle('disable-uvicorn-access-log', false),
    requestIdHeaders: toggle('enable-request-id-headers', false),
    cors: {
      origins: listOrEverything('allowed-origins'),
      methods: listOrEverything('allowed-methods'),
      headers: listOrEverything('allowed-headers'),
      credentials: toggle('allow-credentials', false),
    },
    loadTracking: toggle('enable-server-load-tracking', false),
    sleepMode: toggle('enable-sleep-mode', false),
    tokensOnly: toggle('tokens-only', false),
    connector: connectorConfig(values.get('kv-transfer-config')),
    given: givenArguments(positionals, values),
    withoutEffect: [...values.keys()].filter((name) => !USED_FLAGS.has(name)).map((name) => `--${name}`),
  };
}

/** Flags that go together, in vLLM's order and words. @throws EngineConfigError */
function checkCombinations(
  text: (name: string) => string | null,
  toggle: (name: string, byDefault: boolean) => boolean,
): void {
  const tool = toggle('enable-auto-tool-choice', false) ? text('tool-call-parser') : null;
  if (toggle('enable-auto-tool-choice', false) && !tool) {
    throw new EngineConfigError('Error: --enable-auto-tool-choice requires --tool-call-parser', 'TypeError');
  }
  if (toggle('enable-log-outputs', false) && !toggle('enable-log-requests', false)) {
    throw new EngineConfigError('Error: --enable-log-outputs requires --enable-log-requests', 'TypeError');
  }
  if (toggle('enable-per-request-metrics', false) && toggle('disable-log-stats', false)) {
    throw new EngineConfigError(
      'Error: --enable-per-request-metrics requires engine statistics logging; remove --disable-log-stats to enable per-request metrics.',
    );
  }
  // A plugin may register names of its own.
  checkOutputParsers({
    tool: text('tool-parser-plugin') ? null : tool,
    reasoning: text('reasoning-parser-plugin') ? null : text('reasoning-parser'),
  });
}

/** `name=path` or JSON. @throws UsageError as vLLM's own action of argparse */
function checkLoraModules(parser: ParserSpec, modules: readonly string[]): void {
  for (const item of modules) {
    if (item === '' || (item.includes('=') && !item.includes(','))) continue;
    let fields: unknown;
    try {
      fields = JSON.parse(item);
    } catch {
      throw ownError(parser, `Invalid JSON format for --lora-modules: ${item}`);
    }
    const stranger = Object.keys(Object(fields)).find((key) => !LORA_MODULE_FIELDS.includes(key));
    if (stranger !== undefined) {
      const reason = `LoRAModulePath.__init__() got an unexpected keyword argument '${stranger}'`;
      throw ownError(parser, `Invalid fields for --lora-modules: ${item} - ${reason}`);
    }
  }
}

function connectorConfig(value: FlagValue | undefined): KvTransferConfig | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  if (!('kv_connector' in value) || value.kv_connector === null) return null;
  try {
    return parseKvTransferConfig(spacedJson(value));
  } catch (error) {
    throw new EngineConfigError(error instanceof Error ? error.message : String(error));
  }
}

function atLeastOne(name: string, value: number | null): number | null {
  if (value !== null && value < 1) throw new EngineConfigError(`${name} must be greater than 0, not ${value}.`);
  return value;
}

/** Binding it is what fails. */
function checkPort(port: number): number {
  if (port < 0 || port > 65535) throw new EngineConfigError('bind(): port must be 0-65535.', 'OverflowError');
  return port;
}

function givenArguments(
  positionals: readonly string[],
  values: ReadonlyMap<string, FlagValue>,
): Readonly<Record<string, unknown>> {
  const given: Record<string, unknown> = {};
  if (positionals[0] !== undefined) given.model_tag = positionals[0];
  for (const [name, value] of values) given[name.replaceAll('-', '_')] = value;
  return given;
}

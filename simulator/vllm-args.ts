import { type FlagValue, type ParserSpec, parseArguments, UsageError } from './argparse.js';
import { type KvTransferConfig, parseKvTransferConfig } from './lmcache/kv-transfer-config.js';
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
  /** --enable-auto-tool-choice with --tool-call-parser. */
  readonly toolParser: boolean;
  readonly connector: KvTransferConfig | null;
  /** What was given, as the log's "non-default args" shows it. */
  readonly given: Readonly<Record<string, unknown>>;
  /** Flags that were accepted but change nothing here. */
  readonly withoutEffect: readonly string[];
}

/** The engine would refuse these values after parsing: traceback, exit code 1. */
export class EngineConfigError extends Error {
  override readonly name = 'EngineConfigError';
}

/** vLLM's default share of the GPU's memory. */
const DEFAULT_MEMORY_UTILIZATION = 0.9;
const DEFAULT_MODEL = 'Qwen/Qwen3-0.6B';

const USED_FLAGS = new Set([
  'model',
  'served-model-name',
  'host',
  'port',
  'api-key',
  'tokenizer',
  'max-model-len',
  'max-num-batched-tokens',
  'max-num-seqs',
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

/** `python3 -m vllm.entrypoints.openai.api_server`: the model only comes as --model. */
export const API_SERVER_PARSER: ParserSpec = {
  program: 'api_server.py',
  usage: { own: 'api_server.py [-h] [options]', top: 'api_server.py [-h] [options]', topProgram: 'api_server.py' },
  flags: VLLM_SERVE_FLAGS,
  maxPositionals: 0,
};

/**
 * Parses what follows `vllm serve`.
 * @throws UsageError (exit code 2) as argparse, EngineConfigError (exit code 1) for values the engine refuses.
 */
export function parseVllmServe(parser: ParserSpec, argv: readonly string[]): VllmServeOptions {
  const { positionals, values } = parseArguments(parser, argv);
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
    return Array.isArray(value) ? value : [];
  };
  const toggle = (name: string, byDefault: boolean): boolean => {
    const value = values.get(name);
    return typeof value === 'boolean' ? value : byDefault;
  };
  const model = positionals[0] ?? text('model') ?? DEFAULT_MODEL;
  const names = list('served-model-name');
  const gpuMemoryUtilization = number('gpu-memory-utilization') ?? DEFAULT_MEMORY_UTILIZATION;
  if (!(gpuMemoryUtilization > 0 && gpuMemoryUtilization <= 1)) {
    throw new EngineConfigError(
      `1 validation error for CacheConfig\ngpu_memory_utilization\n  Input should be greater than 0 and less than or equal to 1 [input_value=${gpuMemoryUtilization}]`,
    );
  }
  const toolParser = toggle('enable-auto-tool-choice', false);
  if (toolParser && !text('tool-call-parser')) {
    throw new EngineConfigError('Error: --enable-auto-tool-choice requires --tool-call-parser');
  }
  return {
    model,
    servedModelNames: names.length > 0 ? names : [model],
    host: text('host'),
    port: checkPort(parser, number('port') ?? 8000),
    apiKeys: list('api-key'),
    tokenizer: text('tokenizer'),
    maxModelLen:
      text('max-model-len')?.toLowerCase() === 'auto'
        ? null
        : humanCount(parser, 'max-model-len', text('max-model-len')),
    maxNumBatchedTokens: humanCount(parser, 'max-num-batched-tokens', text('max-num-batched-tokens')),
    maxNumSeqs: humanCount(parser, 'max-num-seqs', text('max-num-seqs')),
    gpuMemoryUtilization,
    gpuBlocksOverride: atLeastOne('num_gpu_blocks_override', number('num-gpu-blocks-override')),
    eager: toggle('enforce-eager', false),
    asyncScheduling: toggle('async-scheduling', true),
    tensorParallelSize: atLeastOne('tensor_parallel_size', number('tensor-parallel-size')) ?? 1,
    pipelineParallelSize: atLeastOne('pipeline_parallel_size', number('pipeline-parallel-size')) ?? 1,
    prefixCaching: toggle('enable-prefix-caching', true),
    promptTokensDetails: toggle('enable-prompt-tokens-details', false),
    forceIncludeUsage: toggle('enable-force-include-usage', false),
    toolParser,
    accessLog: !toggle('disable-uvicorn-access-log', false),
    connector: connectorConfig(values.get('kv-transfer-config')),
    given: givenArguments(positionals, values),
    withoutEffect: [...values.keys()].filter((name) => !USED_FLAGS.has(name)).map((name) => `--${name}`),
  };
}

function connectorConfig(value: FlagValue | undefined): KvTransferConfig | null {
  if (value === undefined || value === null) return null;
  try {
    return parseKvTransferConfig(typeof value === 'string' ? value : JSON.stringify(value));
  } catch (error) {
    throw new EngineConfigError(error instanceof Error ? error.message : String(error));
  }
}

/** `--max-model-len 16k` (decimal) or `16K` (binary), as vLLM reads them. */
function humanCount(parser: ParserSpec, name: string, text: string | null): number | null {
  if (text === null) return null;
  const match = /^(\d+(?:\.\d+)?)([kKmMgG]?)$/.exec(text);
  const factors: Readonly<Record<string, number>> = {
    '': 1,
    k: 1e3,
    m: 1e6,
    g: 1e9,
    K: 2 ** 10,
    M: 2 ** 20,
    G: 2 ** 30,
  };
  const count = match ? Number(match[1]) * (factors[match[2] ?? ''] ?? 1) : Number.NaN;
  if (!Number.isInteger(count)) {
    throw new UsageError(
      `usage: ${parser.usage.own}\n${parser.program}: error: argument --${name}: invalid human_readable_int value: '${text}'`,
    );
  }
  return atLeastOne(name.replaceAll('-', '_'), count);
}

function atLeastOne(name: string, value: number | null): number | null {
  if (value !== null && value < 1) throw new EngineConfigError(`${name} must be greater than 0, not ${value}.`);
  return value;
}

function checkPort(parser: ParserSpec, port: number): number {
  if (port < 0 || port > 65535) {
    throw new UsageError(
      `usage: ${parser.usage.own}\n${parser.program}: error: argument --port: ${port} is not a port number`,
    );
  }
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

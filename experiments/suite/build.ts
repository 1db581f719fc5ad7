import type { LmcacheConfiguration, LmcacheSettings } from './lmcache-configuration.js';
import type {
  CommandEngine,
  Experiment,
  ExternalEngineConfiguration,
  SglangEngine,
  TestCase,
  UseCase,
  VllmEngine,
  WorkloadConfiguration,
} from './terms.js';

/** A vLLM; without `lmcache` it has none. */
export function vllm(configuration: Omit<VllmEngine, 'program'> = {}): VllmEngine {
  return { program: 'vllm', ...configuration };
}

/** An SGLang; without `lmcache` it has none. */
export function sglang(configuration: Omit<SglangEngine, 'program'> = {}): SglangEngine {
  return { program: 'sglang', ...configuration };
}

/** Any program that serves the OpenAI API: `command(['my-engine', '--port', '{port}'])`. */
export function command(
  words: readonly string[],
  configuration: Omit<CommandEngine, 'program' | 'command'> = {},
): CommandEngine {
  return { program: 'command', command: words, ...configuration };
}

/** A server that runs already. */
export function external(
  url: string,
  configuration: Omit<ExternalEngineConfiguration, 'program' | 'url'> = {},
): ExternalEngineConfiguration {
  return { program: 'external', url, ...configuration };
}

/** LMCache with this configuration file, or with this content of one. */
export function lmcache(
  config: string | LmcacheSettings,
  more: Omit<LmcacheConfiguration, 'config'> = {},
): LmcacheConfiguration {
  return { config, ...more };
}

/**
 * LMCache as a server process; engines that name the same port share it.
 * @param options.httpPort default: the next port
 * @param options.l1SizeGb default: 20
 */
export function lmcacheServer(options: {
  readonly port: number;
  readonly httpPort?: number;
  readonly l1SizeGb?: number;
}): LmcacheConfiguration {
  const { port, httpPort = port + 1, l1SizeGb = 20 } = options;
  return { config: {}, server: { port, httpPort, l1SizeGb } };
}

/**
 * `queries` requests, `gap` seconds apart.
 * @param options.useCase default: DUMMY
 * @param options.gap default: 8 s
 * @param options.queryLength default: 16 tokens
 */
export function experiment(options: {
  readonly useCase?: UseCase;
  readonly queries: number;
  readonly contextLength: number;
  readonly gap?: number;
  readonly queryLength?: number;
  readonly offset?: number;
  readonly maxTokens?: number;
  readonly pool?: number;
}): Experiment {
  const { useCase = 'DUMMY', queries, contextLength, gap = 8, queryLength = 16, offset = 0 } = options;
  const workload: WorkloadConfiguration = {
    qps: 1 / gap,
    duration: queries * gap,
    contextLength,
    queryLength,
    offset,
    ...(options.maxTokens === undefined ? {} : { maxTokens: options.maxTokens }),
    ...(options.pool === undefined ? {} : { pool: options.pool }),
  };
  return { workload, useCase };
}

/** Experiments on engines. */
export function testCase(parts: TestCase): TestCase {
  return parts;
}

/** The same engine with more flags. */
export function withOptions<Configured extends VllmEngine | SglangEngine>(
  engine: Configured,
  options: NonNullable<Configured['options']>,
): Configured {
  return { ...engine, options: { ...engine.options, ...options } };
}

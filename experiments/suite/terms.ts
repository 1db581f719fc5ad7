import type { LmcacheConfiguration } from './lmcache-configuration.js';
import type { Shows } from './shows.js';

/** A single prompt: some context and a user's query. */
export interface Request {
  /** When it is to be sent: seconds (of the engine's time) after the workload's start. */
  readonly timestamp: number;
  readonly context: string;
  readonly question: string;
  /** Lengths in tokens, as far as text of known length can be written ahead. */
  readonly contextLength: number;
  readonly queryLength: number;
  /** Tokens to generate. */
  readonly maxTokens: number;
  /**
   * Requests of one conversation: each waits for the one before it, and is sent with all earlier questions and answers
   * in front of it.
   */
  readonly conversation?: string;
}

/** Requests at different timestamps, ascending; for one engine. */
export interface Workload {
  readonly requests: readonly Request[];
}

/** One number decides each of a workload's properties; request i is due at i / qps + offset, there are duration * qps. */
export interface WorkloadConfiguration {
  /** Queries a second. */
  readonly qps: number;
  /** Seconds. */
  readonly duration: number;
  /** Tokens of context of a request. */
  readonly contextLength: number;
  /** Tokens of its question. */
  readonly queryLength: number;
  /** Seconds added to every timestamp. */
  readonly offset: number;
  /** Tokens to generate. Default: what the use case says. */
  readonly maxTokens?: number;
  /** Contexts (PREFIX_REUSE) or documents (RAG) to choose from. Default: what the use case says. */
  readonly pool?: number;
}

/** What a generator is made from. */
export interface GeneratorInput {
  readonly configuration: WorkloadConfiguration;
  /** The same number gives the same requests. */
  readonly seed: number;
  /** Tokens that the model takes, prompt and answer together; contexts are cut to it. */
  readonly maxModelLength: number;
  /** Tokens a word of dummy text has with the model's tokenizer. */
  readonly tokensPerWord: number;
}

/** Makes workloads of one kind. */
export interface WorkloadGenerator {
  generate(): Workload;
}

/** A kind of workload: `new DummyGenerator(input).generate()`. */
export type WorkloadGeneratorClass = new (input: GeneratorInput) => WorkloadGenerator;

/** The built-in kinds by name; one of your own is a class. */
export type UseCase = 'DUMMY' | 'VARY' | 'MULTI' | 'PREFIX_REUSE' | 'RAG' | WorkloadGeneratorClass;

interface LocalEngine {
  /** Shown in tables and legends. Default: made from what sets it apart. */
  readonly label?: string;
  /** Default: the model of the run. */
  readonly model?: string;
  /** Default: the run's ports, in the order of the engines. */
  readonly port?: number;
  /** Share of a GPU's memory it takes. Default: 0.8. */
  readonly gpuMemoryUtilization?: number;
  /** GPUs it is spread over. Default: 1. */
  readonly tensorParallelSize?: number;
  /** Further flags: `{ max_model_len: 32768, enable_chunked_prefill: true, trust_remote_code: false }`. */
  readonly options?: Readonly<Record<string, string | number | boolean | object>>;
  /** null: without LMCache. */
  readonly lmcache?: LmcacheConfiguration | null;
  /** Of this engine alone. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** vLLM, or the simulator in its place. */
export interface VllmEngine extends LocalEngine {
  readonly program: 'vllm';
}

export interface SglangEngine extends LocalEngine {
  readonly program: 'sglang';
}

/** Any program that serves the OpenAI API on a port. */
export interface CommandEngine extends Omit<LocalEngine, 'options' | 'gpuMemoryUtilization'> {
  readonly program: 'command';
  /** The program and its arguments; `{port}` and `{model}` stand for what is decided when it starts. */
  readonly command: readonly string[];
  /** Answers 200 when it serves. Default: `/health`. */
  readonly healthPath?: string;
}

/** A server that runs already, whatever it is. */
export interface ExternalEngineConfiguration {
  readonly program: 'external';
  readonly url: string;
  readonly label?: string;
  /** Default: the model of the run. */
  readonly model?: string;
}

/** A serving engine: a process that answers the OpenAI API. */
export type Engine = VllmEngine | SglangEngine | CommandEngine | ExternalEngineConfiguration;

/** One that is started here. */
export type StartedEngineConfiguration = Exclude<Engine, ExternalEngineConfiguration>;

/** One workload, made anew for each engine and sent to all of them at once. */
export interface Experiment {
  readonly workload: WorkloadConfiguration;
  readonly useCase: UseCase;
}

/** Experiments on the same engines, which are started afresh for each. */
export interface TestCase {
  readonly experiments: readonly Experiment[];
  readonly engines: readonly Engine[];
  /** The differences it exists to show, for `--table`. */
  readonly shows?: readonly Shows[];
}

/** What a test function is called with. */
export interface Settings {
  readonly model: string;
  /** The engines' ports. */
  readonly ports: readonly number[];
  /** For `lm://` servers: 65431, 65430. */
  readonly cachePorts: readonly number[];
  /** For Redis Sentinel: 26379, 26380, 26381. */
  readonly sentinelPorts: readonly number[];
  /** A directory of this run, for files that engines are to read or write; removed at the end. */
  readonly directory: string;
  /** True when the simulator stands in for the engines. */
  readonly simulated: boolean;
}

/** Makes the test cases; the command runs them and writes `{name}.csv`. One that returns nothing has no CSV. */
export type TestFunction = (
  settings: Settings,
) => TestCase | readonly TestCase[] | undefined | null | Promise<TestCase | readonly TestCase[] | undefined | null>;

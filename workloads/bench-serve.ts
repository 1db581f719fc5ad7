import { randomBytes } from 'node:crypto';
import { type BenchRequest, benchFigures, toBenchRequest } from './bench/bench-metrics.js';
import { FailureLimit } from './bench/failure-limit.js';
import type { BenchBackend, BenchPrompt, BenchServeOptions, BenchServeResult } from './bench/options.js';
import { dueTimes, openTokenizer, prepareBenchServe, rpsChanges } from './bench/prepare.js';
import { BENCH_PATHS, benchRequestBody } from './bench/request-body.js';
import { type BenchServeExtras, buildBenchServeJson, type LatencySummary } from './bench/result-json.js';
import { ClientWatch } from './client-health.js';
import { type ConversationsResult, runConversations } from './conversations.js';
import { MeasuringClient } from './measuring-client.js';
import { multiRoundQaConversations, summariseMultiRoundQa } from './multi-round-qa.js';
import { reportProgress } from './progress.js';
import { rehearse } from './rehearsal.js';
import { describeOutcome, type RequestRecord, ttftFromIntendedSeconds, ttftSeconds } from './request.js';
import type { RoundOptions, RoundRequest, RoundResult } from './request-round.js';
import { mean, median, percentile } from './statistics.js';
import type { Target, WorkloadOptions } from './target.js';

export { prepareBenchServe } from './bench/prepare.js';

const DEFAULT_TIMEOUT_SECONDS = 6 * 60 * 60;

/**
 * `vllm bench serve`: makes prompts (or takes `options.plan`), warms up, measures.
 * An abort resolves with what there is, marked `interrupted`; prompts that are still being made then reject.
 * @throws ServerUnreachableError, ServerAnswerError; RangeError for bad options
 */
export async function runBenchServe(
  target: Target,
  options: BenchServeOptions & WorkloadOptions,
): Promise<BenchServeResult> {
  const plan = options.plan ?? (await prepareBenchServe(target, options));
  if (plan === null) {
    throw new Error(`No tokenizer for "${target.model}": neither local files nor a server.`);
  }
  const { prompts } = plan;
  const { dataset } = options;
  const arrivals = plan.arrivals ?? dueTimes({ prompts }, options);
  const limit = new FailureLimit(options);
  const client = await MeasuringClient.connect(target, options.signal);
  try {
    const warmup = await runPhase(client, requestsFor(client, plan.warmupPrompts, options), 'warm-up', options);
    const send = timedPart(client, plan.prompts, arrivals, options, limit);
    await rehearse(limit.signal);
    const startedAt = new Date();
    const watch = new ClientWatch();
    const round = await send().catch((error) => {
      watch.stop([], []);
      throw error;
    });
    const health = watch.stop(round.sendLagsMs, wallTtfts(round.records, client.speed));
    const benchRequests = await toBenchRequests(target, round.records, prompts, options);
    const extras: BenchServeExtras = {
      client: 'lmcache-ci',
      simulated: client.simulated,
      interrupted: round.interrupted,
      stopped_by: round.interrupted ? (limit.isExceeded ? 'failure-rate' : 'signal') : null,
      valid: !round.interrupted && !health.overloaded,
      ttft_from_intended_ms: summary(successes(round.records).map((record) => ttftFromIntendedSeconds(record) ?? 0)),
      client_queue_ms: summary(
        successes(round.records).map(({ sentAt, intendedStart }) => (sentAt ?? 0) - intendedStart),
      ),
      cached_tokens: cachedTokens(round.records),
      failures: failuresByReason(round.records),
      client_health: health,
      ...(dataset?.name === 'multi-round-qa'
        ? { multi_round_qa: summariseMultiRoundQa(round.records, round.durationSeconds, dataset.qps) }
        : {}),
    };
    return {
      json: buildBenchServeJson({
        model: options.modelId ?? target.model,
        tokenizerId: options.tokenizerId ?? (plan.tokenizer === 'server' ? target.model : plan.tokenizer),
        rpsChanges: rpsChanges(arrivals, options),
        options,
        requests: benchRequests,
        figures: benchFigures(benchRequests, round.durationSeconds, options.goodput ?? {}),
        extras,
        startedAt,
      }),
      records: round.records,
      turns: round.turns,
      warmup: warmup.records,
      prompts,
      simulated: client.simulated,
      clientHealth: health,
      interrupted: round.interrupted,
    };
  } finally {
    client.close();
  }
}

/**
 * Sends prompts again, untimed: whether they hit a cache shows in the records' `cachedTokens` and the servers' metrics.
 * @throws ServerUnreachableError
 */
export async function replayPrompts(
  target: Target,
  prompts: readonly BenchPrompt[],
  options: WorkloadOptions & {
    /** Default `openai-chat`. */
    readonly backend?: BenchBackend;
    readonly maxConcurrency?: number | null;
    readonly requestTimeoutSeconds?: number;
  },
): Promise<readonly RequestRecord[]> {
  const client = await MeasuringClient.connect(target, options.signal);
  try {
    const sending = { ...options, backend: options.backend ?? 'openai-chat', numPrompts: prompts.length };
    return (await runPhase(client, requestsFor(client, prompts, sending), 'replay', sending)).records;
  } finally {
    client.close();
  }
}

/** Everything that can be made ahead is made now; the call sends it. */
function timedPart(
  client: MeasuringClient,
  prompts: readonly BenchPrompt[],
  arrivals: readonly number[],
  options: BenchServeOptions & WorkloadOptions,
  limit: FailureLimit,
): () => Promise<ConversationsResult> {
  const { dataset } = options;
  const limited = { ...options, signal: limit.signal };
  if (dataset?.name !== 'multi-round-qa') {
    const requests = requestsFor(client, prompts, options, arrivals);
    return async () => ({ ...(await runPhase(client, requests, 'requests', limited, limit)), turns: [] });
  }
  const conversations = multiRoundQaConversations(client, dataset, {
    path: options.endpointPath ?? BENCH_PATHS[options.backend],
    requestIdPrefix: options.requestIdPrefix ?? newRequestIdPrefix(),
    headers: options.headers ?? {},
    extraBody: { ...(options.ignoreEos ? { ignore_eos: true } : {}), ...options.extraBody },
  });
  return () => runConversations(client, conversations, sendingOptions('requests', options.numPrompts, limited, limit));
}

function newRequestIdPrefix(): string {
  return `bench-${randomBytes(4).toString('hex')}-`;
}

function requestsFor(
  client: MeasuringClient,
  prompts: readonly BenchPrompt[],
  options: BenchServeOptions,
  arrivals: readonly number[] = [],
): RoundRequest[] {
  const idPrefix = options.requestIdPrefix ?? newRequestIdPrefix();
  const path = options.endpointPath ?? BENCH_PATHS[options.backend];
  const body = {
    ignoreEos: options.ignoreEos ?? true,
    logprobs: options.logprobs ?? null,
    extraBody: options.extraBody ?? {},
  };
  return prompts.map((prompt, index) =>
    client.prepare(path, benchRequestBody(options.backend, client.target.model, prompt, body), {
      expectedTokens: prompt.outputLen,
      intendedStart: arrivals[index] ?? 0,
      requestId: `${idPrefix}${index}`,
      ...(options.headers === undefined ? {} : { headers: options.headers }),
    }),
  );
}

function runPhase(
  client: MeasuringClient,
  requests: readonly RoundRequest[],
  phase: string,
  options: BenchServeOptions & WorkloadOptions,
  limit: FailureLimit | null = null,
): Promise<RoundResult> {
  return client.run(requests, {
    maxInFlight: options.maxConcurrency ?? null,
    ...sendingOptions(phase, requests.length, options, limit),
  });
}

function sendingOptions(
  phase: string,
  total: number,
  options: BenchServeOptions & WorkloadOptions,
  limit: FailureLimit | null,
): Pick<RoundOptions, 'requestTimeoutSeconds' | 'signal' | 'keepTexts' | 'onRecord'> {
  const report = reportProgress(options, phase, total);
  return {
    requestTimeoutSeconds: options.requestTimeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
    signal: options.signal,
    keepTexts: (options.keepTexts ?? true) || (options.saveDetailed ?? false),
    onRecord: (record, progress) => {
      if (limit !== null) {
        limit.count(progress);
        options.onRecord?.(record);
      }
      report(record, progress);
    },
  };
}

/** Output tokens: what the server says, else its text counted by the tokenizer. */
async function toBenchRequests(
  target: Target,
  records: readonly RequestRecord[],
  prompts: readonly BenchPrompt[],
  options: BenchServeOptions & WorkloadOptions,
): Promise<BenchRequest[]> {
  const uncounted = records.some((record) => record.outcome.state === 'ok' && record.completionTokens === null);
  const tokenizer = uncounted ? await openTokenizer(target, options).catch(() => null) : null;
  try {
    const requests: BenchRequest[] = [];
    for (const record of records) {
      const counted =
        record.completionTokens ?? (tokenizer === null ? 1 : (await tokenizer.encode(record.text)).length || 1);
      const promptLen = prompts[record.index]?.promptLen ?? 0;
      requests.push(toBenchRequest(record, promptLen, counted, describeOutcome(record.outcome)));
    }
    return requests;
  } finally {
    await tokenizer?.close();
  }
}

function successes(records: readonly RequestRecord[]): readonly RequestRecord[] {
  return records.filter((record) => record.outcome.state === 'ok');
}

function wallTtfts(records: readonly RequestRecord[], speed: number): number[] {
  return successes(records).flatMap((record) => {
    const ttft = ttftSeconds(record);
    return ttft === null ? [] : [(ttft * 1000) / speed];
  });
}

function summary(seconds: readonly number[]): LatencySummary {
  const values = seconds.map((value) => value * 1000);
  return { mean: mean(values), median: median(values), p99: percentile(values, 99) };
}

function cachedTokens(records: readonly RequestRecord[]): number | null {
  const told = successes(records).flatMap((record) => (record.cachedTokens === null ? [] : [record.cachedTokens]));
  return told.length === 0 ? null : told.reduce((total, tokens) => total + tokens, 0);
}

function failuresByReason(records: readonly RequestRecord[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of records) {
    if (outcome.state === 'failed') {
      const reason = outcome.reason === 'http-error' ? `http-${outcome.status}` : outcome.reason;
      counts[reason] = (counts[reason] ?? 0) + 1;
    }
  }
  return counts;
}

import { randomBytes } from 'node:crypto';
import { arrivalTimes } from './bench/arrivals.js';
import { type BenchRequest, benchFigures, toBenchRequest } from './bench/bench-metrics.js';
import { findLocalTokenizer, loadLocalTokenizer } from './bench/local-tokenizer.js';
import type { BenchBackend, BenchPlan, BenchPrompt, BenchServeOptions, BenchServeResult } from './bench/options.js';
import type { PromptTokenizer } from './bench/prompt-tokenizer.js';
import { sampleRandomDataset, sharesPrompt } from './bench/random-dataset.js';
import { BENCH_PATHS, benchRequestBody } from './bench/request-body.js';
import { type BenchServeExtras, buildBenchServeJson } from './bench/result-json.js';
import { openServerTokenizer } from './bench/server-tokenizer.js';
import { ClientWatch } from './client-health.js';
import { MeasuringClient } from './measuring-client.js';
import { reportProgress } from './progress.js';
import { describeOutcome, type RequestRecord, ttftFromIntendedSeconds, ttftSeconds } from './request.js';
import type { RoundRequest, RoundResult } from './request-round.js';
import { mean, median, percentile } from './statistics.js';
import type { Target, WorkloadOptions } from './target.js';

const DEFAULT_TIMEOUT_SECONDS = 6 * 60 * 60;
/** Apart from the seed of the timed prompts, so that a warm-up has content of its own. */
const WARMUP_SEED_OFFSET = 1_000_003;
const MAX_WARMUP_SEEDS = 100;

/** Where prompts come from: a running server, or only a model's name while the server still starts. */
export type PromptSource = Target | { readonly model: string };

/**
 * Makes the prompts of a run ahead. Without a server in `source` only local tokenizer files help.
 * @returns null where there is neither a local tokenizer nor a server
 * @throws ServerUnreachableError, ServerAnswerError; RangeError for bad options; the signal's reason when aborted
 */
export async function prepareBenchServe(
  source: PromptSource,
  options: BenchServeOptions & WorkloadOptions,
): Promise<BenchPlan | null> {
  const tokenizer = await openTokenizer(source, options);
  if (tokenizer === null) {
    return null;
  }
  try {
    const prompts = await sampleRandomDataset(tokenizer, options, {
      signal: options.signal,
      onPrompt: (done, total) => {
        options.onProgress?.({ phase: 'prompts', done, total, failed: 0, inFlight: 0, figures: {} });
      },
    });
    return { prompts, warmupPrompts: await warmupPrompts(tokenizer, prompts, options), tokenizer: tokenizer.name };
  } finally {
    await tokenizer.close();
  }
}

/**
 * `vllm bench serve` with the random data set: makes prompts (or takes `options.plan`), warms up, measures.
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
  const arrivals = arrivalTimes({
    count: prompts.length,
    requestRate: options.requestRate ?? Number.POSITIVE_INFINITY,
    burstiness: options.burstiness ?? 1,
    seed: options.seed ?? 0,
  });
  const client = await MeasuringClient.connect(target, options.signal);
  try {
    const warmup = await runPhase(client, requestsFor(client, plan.warmupPrompts, options), 'warm-up', options);
    const requests = requestsFor(client, prompts, options, arrivals);
    const startedAt = new Date();
    const watch = new ClientWatch();
    const round = await runPhase(client, requests, 'requests', options).catch((error) => {
      watch.stop([], []);
      throw error;
    });
    const health = watch.stop(round.sendLagsMs, wallTtfts(round.records, client.speed));
    const benchRequests = await toBenchRequests(target, round.records, prompts, options);
    const extras: BenchServeExtras = {
      client: 'lmcache-ci',
      simulated: client.simulated,
      interrupted: round.interrupted,
      ttft_from_intended_ms: intendedStatistics(round.records),
      cached_tokens: cachedTokens(round.records),
      failures: failuresByReason(round.records),
      client_health: health,
    };
    return {
      json: buildBenchServeJson({
        model: target.model,
        tokenizerId: plan.tokenizer === 'server' ? target.model : plan.tokenizer,
        options,
        requests: benchRequests,
        figures: benchFigures(benchRequests, round.durationSeconds, options.goodput ?? {}),
        extras,
        startedAt,
      }),
      records: round.records,
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

async function openTokenizer(
  source: PromptSource,
  options: BenchServeOptions & WorkloadOptions,
): Promise<PromptTokenizer | null> {
  const directory = options.tokenizerDirectory ?? (await findLocalTokenizer(source.model, options.hfHome));
  if (directory !== null) {
    return loadLocalTokenizer(directory);
  }
  return 'baseUrl' in source ? openServerTokenizer(source, options.signal) : null;
}

async function warmupPrompts(
  tokenizer: PromptTokenizer,
  prompts: readonly BenchPrompt[],
  options: BenchServeOptions & WorkloadOptions,
): Promise<readonly BenchPrompt[]> {
  const count = options.numWarmups ?? 0;
  if (count === 0) {
    return [];
  }
  for (let attempt = 1; attempt <= MAX_WARMUP_SEEDS; attempt += 1) {
    const warmup = await sampleRandomDataset(
      tokenizer,
      { ...options, numPrompts: count, seed: (options.seed ?? 0) + attempt * WARMUP_SEED_OFFSET },
      { signal: options.signal },
    );
    if (!sharesPrompt(prompts, warmup)) {
      return warmup;
    }
  }
  throw new RangeError('The vocabulary is too small to make warm-up prompts that differ from the timed ones.');
}

function requestsFor(
  client: MeasuringClient,
  prompts: readonly BenchPrompt[],
  options: BenchServeOptions,
  arrivals: readonly number[] = [],
): RoundRequest[] {
  const idPrefix = `bench-${randomBytes(4).toString('hex')}-`;
  const body = { ignoreEos: options.ignoreEos ?? true, extraBody: options.extraBody ?? {} };
  return prompts.map((prompt, index) =>
    client.prepare(BENCH_PATHS[options.backend], benchRequestBody(options.backend, client.target.model, prompt, body), {
      expectedTokens: prompt.outputLen,
      intendedStart: arrivals[index] ?? 0,
      requestId: `${idPrefix}${index}`,
    }),
  );
}

function runPhase(
  client: MeasuringClient,
  requests: readonly RoundRequest[],
  phase: string,
  options: BenchServeOptions & WorkloadOptions,
): Promise<RoundResult> {
  return client.run(requests, {
    maxInFlight: options.maxConcurrency ?? null,
    requestTimeoutSeconds: options.requestTimeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
    signal: options.signal,
    onRecord: reportProgress(options, phase, requests.length),
  });
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

function intendedStatistics(records: readonly RequestRecord[]): BenchServeExtras['ttft_from_intended_ms'] {
  const values = successes(records).map((record) => (ttftFromIntendedSeconds(record) ?? 0) * 1000);
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

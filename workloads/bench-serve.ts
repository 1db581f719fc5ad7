import { availableParallelism } from 'node:os';
import { type BenchRequest, BenchRequests, benchFigures, toBenchRequest } from './bench/bench-metrics.js';
import { cachedTokensSoFar } from './bench/cached-tokens.js';
import { describeTable, sendLagsMs, wallTtftsMs } from './bench/describe-table.js';
import { FailureLimit } from './bench/failure-limit.js';
import type { BenchBackend, BenchPrompt, BenchServeOptions, BenchServeResult } from './bench/options.js';
import { dueTimes, openTokenizer, prepareBenchServe, rpsChanges } from './bench/prepare.js';
import { BENCH_PATHS, benchRequestBody } from './bench/request-body.js';
import { type BenchServeExtras, buildBenchServeJson } from './bench/result-json.js';
import { ClientWatch, summariseDelays, type ThreadHealth } from './client-health.js';
import type { ConversationsResult } from './conversations.js';
import { MeasuringClient } from './measuring-client.js';
import { reportProgress } from './progress.js';
import { rehearse } from './rehearsal.js';
import { describeOutcome, type RequestRecord } from './request.js';
import type { RoundOptions, RoundProgress, RoundRequest, RoundResult } from './request-round.js';
import { RequestTable } from './request-table.js';
import type { Target, WorkloadOptions } from './target.js';
import { chooseWorkers } from './workers/worker-count.js';

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
    const workers = workersFor(options, arrivals, client.speed);
    const warmup = await runPhase(client, requestsFor(client, plan.warmupPrompts, options), 'warm-up', options);
    const [send, cachedBefore] = await Promise.all([
      timedPart(client, plan.prompts, arrivals, { ...options, workers }, limit),
      cachedTokensSoFar(target.baseUrl, options.signal),
    ]);
    const watch = new ClientWatch();
    const startedAt = new Date();
    const round = await send().catch((error) => {
      watch.stop([], []);
      throw error;
    });
    const { table, threads } = round;
    const tryWorkers = Math.max(workers + 1, Math.min(workers * 2, availableParallelism() - 1));
    const health = watch.stop(
      sendLagsMs(table, client.speed),
      wallTtftsMs(table, client.speed),
      options.workers === undefined ? undefined : { threads, tryWorkers },
    );
    const benchRequests = await toBenchRequests(target, table, prompts, options);
    const described = describeTable(table);
    const cachedAfter = cachedBefore === null ? null : await cachedTokensSoFar(target.baseUrl, options.signal);
    const counted = cachedAfter === null ? null : Math.max(0, cachedAfter - (cachedBefore ?? 0));
    const extras: BenchServeExtras = {
      client: 'lmcache-ci',
      workers,
      simulated: client.simulated,
      interrupted: round.interrupted,
      stopped_by: round.interrupted ? (limit.isExceeded ? 'failure-rate' : 'signal') : null,
      valid: !round.interrupted && !health.overloaded,
      ...described,
      cached_tokens: described.cached_tokens ?? counted,
      client_health: health,
      ...(dataset?.name === 'multi-round-qa'
        ? {
            multi_round_qa: (await import('./multi-round-qa.js')).summariseMultiRoundQa(
              [...table],
              round.durationSeconds,
              dataset.qps,
            ),
          }
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
      table,
      get records() {
        return [...table];
      },
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

/** The timed part, as measured. */
interface TimedResult extends Pick<ConversationsResult, 'durationSeconds' | 'interrupted' | 'turns'> {
  readonly table: RequestTable;
  /** Empty where this thread sent. */
  readonly threads: readonly ThreadHealth[];
}

/** How many threads send. @throws RangeError where they cannot be several */
function workersFor(options: BenchServeOptions, arrivals: readonly number[], speed: number): number {
  const { workers = 1, dataset } = options;
  if (dataset?.name === 'multi-round-qa') {
    if (workers !== 'auto' && workers > 1) {
      throw new RangeError('Each request of multi-round-qa is made of the answer before: it takes one worker.');
    }
    return 1;
  }
  const dueSeconds = arrivals.map((due) => due / speed);
  return chooseWorkers(workers, { dueSeconds, maxConcurrency: options.maxConcurrency ?? null }, availableParallelism());
}

/** Everything that can be made ahead is made now, rehearsals too; the call sends it. */
async function timedPart(
  client: MeasuringClient,
  prompts: readonly BenchPrompt[],
  arrivals: readonly number[],
  options: BenchServeOptions & WorkloadOptions & { readonly workers: number },
  limit: FailureLimit,
): Promise<() => Promise<TimedResult>> {
  const { dataset, workers } = options;
  const limited = { ...options, signal: limit.signal };
  if (dataset?.name === 'multi-round-qa') {
    const [{ runConversations }, { multiRoundQaConversations }] = await Promise.all([
      import('./conversations.js'),
      import('./multi-round-qa.js'),
    ]);
    const conversations = multiRoundQaConversations(client, dataset, {
      path: options.endpointPath ?? BENCH_PATHS[options.backend],
      requestIdPrefix: options.requestIdPrefix ?? newRequestIdPrefix(),
      headers: options.headers ?? {},
      extraBody: { ...(options.ignoreEos ? { ignore_eos: true } : {}), ...options.extraBody },
    });
    const sending = sendingOptions('requests', options.numPrompts, limited, limit);
    await rehearse(limit.signal);
    return async () => {
      const { records, ...rest } = await runConversations(client, conversations, sending);
      return { ...rest, table: RequestTable.of(records), threads: [] };
    };
  }
  const requests = requestsFor(client, prompts, options, arrivals);
  const table = new RequestTable(requests.length);
  const keepsTexts = (options.keepTexts ?? true) || (options.saveDetailed ?? false);
  const maxInFlight = options.maxConcurrency ?? null;
  const { onRecord, ...sending } = sendingOptions('requests', requests.length, limited, limit);
  const take = (record: RequestRecord, progress: RoundProgress): void => {
    // A text is also kept when its tokens are still to be counted.
    table.add(record, keepsTexts || record.completionTokens === null);
    onRecord(record, progress);
  };
  if (workers === 1) {
    await rehearse(limit.signal);
    return async () => {
      const round = await client.run(requests, { ...sending, maxInFlight, keepRecords: false, onRecord: take });
      return { ...round, table, turns: [], threads: [] };
    };
  }
  const { readyWorkers } = await import('./workers/ready-workers.js');
  const workerOf = new Uint16Array(requests.length);
  const run = await readyWorkers(client.endpoint, requests, {
    ...sending,
    workers,
    maxInFlight,
    speed: client.speed,
    needsTexts: keepsTexts || options.onRecord !== undefined,
    onRecord: (record, progress, worker) => {
      workerOf[record.index] = worker;
      take(record, progress);
    },
  });
  return async () => {
    const round = await run();
    table.settleReadyTimes(maxInFlight ?? Number.POSITIVE_INFINITY, 0);
    const threads = round.eventLoopDelaysMs.map((eventLoopDelayMs, worker): ThreadHealth => {
      const requestsOfThread = workerOf.reduce((count, own) => count + (own === worker ? 1 : 0), 0);
      const lagsMs = sendLagsMs(table, client.speed, (index) => workerOf[index] === worker);
      return { requests: requestsOfThread, sendLagMs: summariseDelays(lagsMs), eventLoopDelayMs };
    });
    return { ...round, table, turns: [], threads };
  };
}

function newRequestIdPrefix(): string {
  // Not from node:crypto, which nothing else needs before the first request.
  const hex = Math.floor(Math.random() * 2 ** 32).toString(16);
  return `bench-${hex.padStart(8, '0')}-`;
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
): Promise<RoundResult> {
  return client.run(requests, {
    maxInFlight: options.maxConcurrency ?? null,
    ...sendingOptions(phase, requests.length, options, null),
  });
}

function sendingOptions(
  phase: string,
  total: number,
  options: BenchServeOptions & WorkloadOptions,
  limit: FailureLimit | null,
): Pick<RoundOptions, 'requestTimeoutSeconds' | 'signal'> & Required<Pick<RoundOptions, 'onRecord'>> {
  const report = reportProgress(options, phase, total);
  return {
    requestTimeoutSeconds: options.requestTimeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
    signal: options.signal,
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
  table: RequestTable,
  prompts: readonly BenchPrompt[],
  options: BenchServeOptions & WorkloadOptions,
): Promise<BenchRequests> {
  const counted = await countTokens(target, table, options);
  const rows = function* (): Generator<BenchRequest, void> {
    for (const record of table) {
      const outputLen = record.completionTokens ?? counted.get(record.index) ?? 1;
      yield toBenchRequest(record, prompts[record.index]?.promptLen ?? 0, outputLen, describeOutcome(record.outcome));
    }
  };
  return new BenchRequests(table.size, table.tokenTimes, rows(), options.saveDetailed ?? false);
}

/** Tokens of the answers of which the server did not say how many they have. */
async function countTokens(
  target: Target,
  table: RequestTable,
  options: BenchServeOptions & WorkloadOptions,
): Promise<ReadonlyMap<number, number>> {
  const counts = new Map<number, number>();
  const uncounted = table.indexes((record) => record.outcome.state === 'ok' && record.completionTokens === null);
  const tokenizer = uncounted.length === 0 ? null : await openTokenizer(target, options).catch(() => null);
  try {
    for (const index of tokenizer === null ? [] : uncounted) {
      counts.set(index, (await tokenizer?.encode(table.at(index)?.text ?? ''))?.length || 1);
    }
    return counts;
  } finally {
    await tokenizer?.close();
  }
}

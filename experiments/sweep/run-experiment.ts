import { setMaxListeners } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ReservedGpu } from '../../engines/live-run.js';
import type { RunFleet } from '../../engines/run-fleet.js';
import { ExpectedFailure } from '../../results-schema/expected-failure.js';
import type { SweepMeasurement, SweepResult } from '../../results-schema/sweep-summary.js';
import { difference, type MetricsSnapshot, scrapeMetrics } from '../../workloads/metrics.js';
import { ServerAnswerError, ServerUnreachableError, serverVersion } from '../../workloads/server-api.js';
import { type ConversationPlan, conversationPlan } from '../../workloads/traces/replay-plan.js';
import type { Trace } from '../../workloads/traces/trace.js';
import { ClientLog } from './client-log.js';
import { clientLogName, type PlannedExperiment, serverLogName } from './grid.js';
import { summariseReplay } from './measurement.js';
import { type ReplayProgress, type ReplayResult, replayConversations } from './replay.js';
import { type ServerSetup, serverSpec } from './server-spec.js';
import { ServerFailure, SweepServer } from './sweep-server.js';
import { warningsOf } from './warnings.js';

/** What all experiments of a sweep share. */
export interface ExperimentContext {
  readonly fleet: RunFleet;
  readonly runId: string;
  readonly setup: ServerSetup;
  /** The sweep's directory of results, absolute. */
  readonly directory: string;
  readonly readyPattern: RegExp;
  /** Wall-clock seconds a server may take. */
  readonly readySeconds: number;
  /** Cards by their number in the sweep; null on the simulator. */
  readonly cards: readonly ReservedGpu[] | null;
  findPort(): Promise<number>;
  /** @throws TraceFileError */
  openDataset(file: string, format: string): Promise<Trace>;
  /** Waits until a stopped server's cards have their memory back: the driver returns it late. */
  untilFreed(cards: readonly ReservedGpu[]): Promise<void>;
  /** What the server says of itself. */
  onVersion(version: string | null): void;
  readonly signal: AbortSignal;
}

/** Where an experiment is. */
export type ExperimentStage = 'data' | 'server' | 'replay' | 'stop';

/** A share of prompts and answers for what a chat template and an estimated count add. */
const contextShare = 0.9;
const planSeed = 0;
const requestTimeoutSeconds = 1800;
const portTries = 3;
const scrapeTries = 3;
const noticeEndMs = 1000;
/** More failed requests than this and the figures say nothing about the rest. */
const mostFailedShare = 0.01;

type Outcome = Exclude<SweepResult, { outcome: 'pending' }>;

/**
 * One experiment from its server's start to its stop. What fails is in its result.
 * @throws the signal's reason when it is aborted: the experiment is to be run again then.
 */
export async function runExperiment(
  experiment: PlannedExperiment,
  gpus: readonly number[],
  attempt: number,
  context: ExperimentContext,
  onProgress: (stage: ExperimentStage, progress: ReplayProgress | null) => void,
): Promise<Outcome> {
  const startedAt = new Date();
  const from = performance.now();
  const log = new ClientLog(path.join(context.directory, clientLogName(experiment.name)));
  const execution = () => ({
    startedAt: startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    executionSeconds: (performance.now() - from) / 1000,
    gpus: [...gpus],
    attempt,
  });
  try {
    const { measurement, warnings } = await measure(experiment, gpus, context, log, onProgress);
    log.end(measurement, 'successful');
    return { outcome: 'successful', ...execution(), measurement, warnings };
  } catch (error) {
    context.signal.throwIfAborted();
    const failure = expected(error);
    const measurement = error instanceof FailedRequests ? error.measurement : null;
    log.end(measurement, `failed: ${failure.message}`);
    const { reason, failureCause: cause, message, evidence } = failure;
    return { outcome: 'failed', ...execution(), reason, cause, message, evidence: [...evidence], measurement };
  } finally {
    await log.close();
  }
}

async function measure(
  experiment: PlannedExperiment,
  gpus: readonly number[],
  context: ExperimentContext,
  log: ClientLog,
  onProgress: (stage: ExperimentStage, progress: ReplayProgress | null) => void,
): Promise<{ readonly measurement: SweepMeasurement; readonly warnings: string[] }> {
  onProgress('data', null);
  const plan = await planReplay(experiment, context);
  log.start(experiment, plan.notes);
  onProgress('server', null);
  const { server, seconds } = await startServer(experiment, gpus, context);
  try {
    onProgress('replay', { done: 0, total: plan.requests.length, failed: 0, inFlight: 0 });
    context.onVersion(await serverVersion({ baseUrl: server.baseUrl, model: '' }, context.signal).catch(() => null));
    const before = await scrapePatiently(server.baseUrl, context.signal);
    const replay = await replayWatched(
      experiment,
      plan,
      server,
      context,
      (progress) => onProgress('replay', progress),
      log,
    );
    context.signal.throwIfAborted();
    const counters = difference(before, await scrapePatiently(server.baseUrl, context.signal));
    const measurement = summariseReplay(replay, counters, plan.requests.length, seconds);
    checkRequests(measurement, replay);
    return { measurement, warnings: warningsOf(measurement, plan, replay) };
  } catch (error) {
    // A dead server explains every other failure.
    if (!(error instanceof ServerFailure) && !context.signal.aborted && (await server.hasEndedSoon(noticeEndMs))) {
      throw await server.ended('during the measurement');
    }
    throw error;
  } finally {
    onProgress('stop', null);
    // An interrupted sweep ends all its servers at once.
    if (!context.signal.aborted) {
      await server.stop();
      const { cards } = context;
      if (cards !== null) await context.untilFreed(gpus.flatMap((number) => cards[number] ?? []));
    }
  }
}

/** A server that is still busy with the last answers may be slow to count them: an hour's work is not lost for that. */
async function scrapePatiently(url: string, signal: AbortSignal): Promise<MetricsSnapshot> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await scrapeMetrics(url, signal);
    } catch (error) {
      if (!(error instanceof ServerUnreachableError) || tried === scrapeTries) throw error;
    }
  }
}

async function planReplay(
  { configuration, datasetFile }: PlannedExperiment,
  context: ExperimentContext,
): Promise<ConversationPlan> {
  const trace = await context.openDataset(datasetFile, configuration.dataset.format);
  const plan = await conversationPlan(trace, {
    requestRate: configuration.requestRate,
    numPrompts: configuration.numPrompts,
    timeLimitSeconds: configuration.timeLimitSeconds,
    mockDecoding: configuration.mockDecoding,
    maxContextTokens: Math.floor(configuration.model.maxModelLength * contextShare),
    seed: planSeed,
  });
  if (plan.requests.length > 0) return plan;
  throw new ExpectedFailure(`The data set "${datasetFile}" holds no request that could be sent.`, {
    reason: 'configuration',
    failureCause: 'bad-value',
  });
}

/** A port that was free a moment ago may be taken by the time the server listens: then another one. */
async function startServer(
  experiment: PlannedExperiment,
  gpus: readonly number[],
  context: ExperimentContext,
): Promise<{ readonly server: SweepServer; readonly seconds: number }> {
  const logFile = path.join(context.directory, serverLogName(experiment.name));
  const { runId, cards, setup, fleet, readyPattern, readySeconds, signal } = context;
  // An earlier attempt's lines say nothing about this one.
  await writeFile(logFile, '');
  const chosen = cards === null ? null : gpus.flatMap((number) => cards[number] ?? []);
  for (let tried = 1; ; tried += 1) {
    const port = await context.findPort();
    const place = { runId, port, gpus: chosen, numbers: gpus, logFile, tried };
    const server = new SweepServer(fleet, serverSpec(experiment, place, setup), logFile);
    try {
      return { server, seconds: await server.start(readyPattern, readySeconds, signal) };
    } catch (error) {
      await server.stop();
      const isTaken = error instanceof ExpectedFailure && error.failureCause === 'port-taken';
      if (!isTaken || tried === portTries || signal.aborted) throw error;
    }
  }
}

/** A replay ends at once when its server dies. */
async function replayWatched(
  { configuration }: PlannedExperiment,
  plan: ConversationPlan,
  server: SweepServer,
  context: ExperimentContext,
  onProgress: (progress: ReplayProgress) => void,
  log: ClientLog,
): Promise<ReplayResult> {
  const over = new AbortController();
  const died = new AbortController();
  const all = AbortSignal.any([context.signal, died.signal]);
  // Every request in flight listens to it.
  setMaxListeners(0, all);
  const watching = server.untilEnded(AbortSignal.any([over.signal, context.signal])).then((ended) => {
    if (ended) died.abort(new Error('The server has died.'));
  });
  try {
    const replay = await replayConversations({ baseUrl: server.baseUrl, model: configuration.model.path }, plan, {
      signal: all,
      timeLimitSeconds: configuration.timeLimitSeconds,
      requestTimeoutSeconds,
      onRequest: (request, progress) => {
        log.request(request);
        onProgress(progress);
      },
    });
    if (died.signal.aborted) throw await server.ended('during the measurement');
    return replay;
  } finally {
    over.abort();
    await watching;
  }
}

/** Too many requests failed; what was measured is kept beside it. */
class FailedRequests extends ExpectedFailure {
  override readonly name = 'FailedRequests';
  readonly measurement: SweepMeasurement;

  constructor(measurement: SweepMeasurement, replay: ReplayResult) {
    const { sent, failed, failures } = measurement.requests;
    const reasons = Object.entries(failures).map(([reason, count]) => `${count} ${reason}`);
    const examples = replay.requests.flatMap(({ record: { outcome } }) => {
      if (outcome.state === 'ok') return [];
      return [
        outcome.reason === 'http-error' ? `HTTP ${outcome.status}: ${outcome.body.slice(0, 300)}` : outcome.message,
      ];
    });
    super(`${failed} of ${sent} requests failed (${reasons.join(', ')}).`, {
      reason: failures['connection'] === failed ? 'infrastructure' : 'incorrect-output',
      failureCause: 'request-failed',
      evidence: [...new Set(examples)].slice(0, 5),
    });
    this.measurement = measurement;
  }
}

function checkRequests(measurement: SweepMeasurement, replay: ReplayResult): void {
  const { completed, failed, sent } = measurement.requests;
  if (completed === 0 || failed > sent * mostFailedShare) throw new FailedRequests(measurement, replay);
}

/** What is not expected stays visible as what it is, without ending the other experiments. */
function expected(error: unknown): ExpectedFailure {
  if (error instanceof ExpectedFailure) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ServerUnreachableError) {
    return new ExpectedFailure(message, { reason: 'infrastructure', failureCause: 'engine-unreachable' });
  }
  if (error instanceof ServerAnswerError) {
    return new ExpectedFailure(message, { reason: 'unknown', failureCause: 'request-failed' });
  }
  if (error instanceof RangeError) {
    return new ExpectedFailure(message, { reason: 'configuration', failureCause: 'bad-value' });
  }
  const stack = error instanceof Error ? (error.stack ?? '').split('\n').slice(1, 6) : [];
  return new ExpectedFailure(message, { reason: 'unknown', failureCause: 'exception', evidence: stack });
}

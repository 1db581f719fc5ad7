import { setTimeout as sleep } from 'node:timers/promises';
import { type ClientHealth, ClientWatch } from './client-health.js';
import { type LongDocQaPlan, type LongDocQaPlanOptions, prepareLongDocQa } from './long-doc-qa-plan.js';
import { MeasuringClient } from './measuring-client.js';
import { reportProgress } from './progress.js';
import { type RequestRecord, ttftSeconds } from './request.js';
import type { RoundResult } from './request-round.js';
import { trimmedMean } from './statistics.js';
import type { SimulatedBy, Target, WorkloadOptions } from './target.js';

export type { LongDocQaPlan } from './long-doc-qa-plan.js';
export { prepareLongDocQa } from './long-doc-qa-plan.js';

/** Flags of LMCache's long_doc_qa, with its defaults. */
export interface LongDocQaOptions extends LongDocQaPlanOptions {
  /** Tokens to generate for each prompt; default 100. */
  readonly outputLen?: number;
  /** Default 2. */
  readonly maxInflightRequests?: number;
  /** Seconds of the server's time between the rounds; default 0. */
  readonly sleepTimeAfterWarmupSeconds?: number;
  /** Awaited between the rounds, in the time of neither: to read the servers' counters, for example. */
  betweenRounds?(): Promise<void>;
  /** /v1/completions instead of /v1/chat/completions; default false. */
  readonly completions?: boolean;
  /** Biased against, so that the model generates all the tokens it is asked for. */
  readonly eosTokenId?: number;
  /** Share cut off at each end before the mean TTFT; default 0. */
  readonly trimFraction?: number;
  /** Limit of each request in seconds of the server's time; default 1 hour. */
  readonly requestTimeoutSeconds?: number;
  /** Made ahead by `prepareLongDocQa` from the same options. */
  readonly plan?: LongDocQaPlan;
}

/** Seconds. A null could not be measured: no query succeeded, or the round did not take place. */
export interface LongDocQaSummary {
  readonly query_ttft_per_prompt: number | null;
  readonly query_round_time_per_prompt: number | null;
  readonly warmup_round_time_per_prompt: number | null;
}

export interface LongDocQaResult {
  readonly summary: LongDocQaSummary;
  /** One record a prompt; failed ones included, never in the averages. */
  readonly warmup: readonly RequestRecord[];
  readonly query: readonly RequestRecord[];
  /** For each query whether its prompt was made new. */
  readonly queryIsMiss: readonly boolean[];
  /** Failed requests of both rounds. */
  readonly failed: number;
  readonly simulated: SimulatedBy | null;
  readonly clientHealth: ClientHealth;
  readonly interrupted: boolean;
}

const DEFAULT_TIMEOUT_SECONDS = 3600;

/**
 * Runs LMCache's long document QA: pre-warm, warm-up round, query round.
 * An abort resolves with what there is, marked `interrupted`.
 * @throws ServerUnreachableError when the server does not answer before the first round; RangeError for bad options.
 */
export async function runLongDocQa(
  target: Target,
  options: LongDocQaOptions & WorkloadOptions,
): Promise<LongDocQaResult> {
  const plan = options.plan ?? prepareLongDocQa(options);
  const trimFraction = options.trimFraction ?? 0;
  trimmedMean([], trimFraction);
  const client = await MeasuringClient.connect(target, options.signal);
  try {
    await runPrompts(client, plan.preWarm, 'pre-warm', options);
    const watch = new ClientWatch();
    let warmup: RoundResult;
    let query: RoundResult;
    try {
      warmup = await runPrompts(client, plan.documents, 'warm-up', options);
      await options.betweenRounds?.();
      await pause((options.sleepTimeAfterWarmupSeconds ?? 0) / client.speed, options.signal);
      query = await runPrompts(
        client,
        plan.queries.map(({ prompt }) => prompt),
        'query',
        options,
      );
    } catch (error) {
      watch.stop([], []);
      throw error;
    }
    const records = [...warmup.records, ...query.records];
    return {
      summary: {
        query_ttft_per_prompt: trimmedMean(successfulTtfts(query.records), trimFraction),
        query_round_time_per_prompt: timePerPrompt(query),
        warmup_round_time_per_prompt: timePerPrompt(warmup),
      },
      warmup: warmup.records,
      query: query.records,
      queryIsMiss: plan.queries.map(({ isMiss }) => isMiss),
      failed: records.filter((record) => record.outcome.state === 'failed').length,
      simulated: client.simulated,
      clientHealth: watch.stop(
        [...warmup.sendLagsMs, ...query.sendLagsMs],
        successfulTtfts(records).map((seconds) => (seconds * 1000) / client.speed),
      ),
      interrupted: warmup.interrupted || query.interrupted,
    };
  } finally {
    client.close();
  }
}

function runPrompts(
  client: MeasuringClient,
  prompts: readonly string[],
  phase: string,
  options: LongDocQaOptions & WorkloadOptions,
): Promise<RoundResult> {
  const outputLen = options.outputLen ?? 100;
  const path = options.completions ? '/v1/completions' : '/v1/chat/completions';
  const requests = prompts.map((prompt) =>
    client.prepare(
      path,
      {
        model: client.target.model,
        ...(options.completions ? { prompt } : { messages: [{ role: 'user', content: prompt }] }),
        stream: true,
        max_tokens: outputLen,
        temperature: 0,
        stream_options: { include_usage: true },
        ...(options.eosTokenId === undefined ? {} : { logit_bias: { [options.eosTokenId]: -100 } }),
      },
      { expectedTokens: outputLen },
    ),
  );
  return client.run(requests, {
    maxInFlight: options.maxInflightRequests ?? 2,
    requestTimeoutSeconds: options.requestTimeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
    signal: options.signal,
    onRecord: reportProgress(options, phase, prompts.length),
  });
}

function successfulTtfts(records: readonly RequestRecord[]): number[] {
  return records.flatMap((record) => {
    const ttft = record.outcome.state === 'ok' ? ttftSeconds(record) : null;
    return ttft === null ? [] : [ttft];
  });
}

function timePerPrompt(round: RoundResult): number | null {
  const measured = !round.interrupted && round.records.some((record) => record.outcome.state === 'ok');
  return measured ? round.durationSeconds / round.records.length : null;
}

/** Ends early, without an error, when aborted: the next round then records that. */
async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  if (seconds > 0) {
    await sleep(seconds * 1000, undefined, { signal }).catch(() => undefined);
  }
}

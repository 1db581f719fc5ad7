import { setTimeout as sleep } from 'node:timers/promises';
import type { MeasuringClient } from '../measuring-client.js';
import type { MetricsSnapshot } from '../metrics.js';
import type { RoundResult } from '../request-round.js';
import type { WorkloadProgress } from '../target.js';
import type { EngineWatch } from './engine-watch.js';
import type { WordPrompts } from './word-prompts.js';

/** Limit of one request, seconds of the server's time. */
const REQUEST_TIMEOUT_SECONDS = 1800;

export type RecordedEngine = 'lmcache' | 'baseline';

/** A server that is being recorded. */
export interface RecordingSession {
  readonly client: MeasuringClient;
  readonly engine: RecordedEngine;
  readonly prompts: WordPrompts;
  readonly watch: EngineWatch;
  /** Between requests, seconds of the server's time: LMCache's stores are through then. */
  readonly pauseSeconds: number;
  readonly signal: AbortSignal;
  onProgress(progress: WorkloadProgress): void;
}

/** One completion to be measured. */
export interface RecordedRequest {
  readonly prompt: string | readonly number[];
  readonly maxTokens: number;
  /** Seconds of the server's time after the round's start; default 0. */
  readonly intendedStart?: number;
}

/** Waits for the pause, then until the engine is idle. @returns its metrics then; null where it has none */
export async function settle(session: RecordingSession): Promise<MetricsSnapshot | null> {
  await sleep((session.pauseSeconds / session.client.speed) * 1000, undefined, { signal: session.signal });
  return session.watch.idle();
}

/** Sends completions, all as they are due, and measures them. An abort resolves with what there is. */
export function complete(
  { client, signal }: RecordingSession,
  requests: readonly RecordedRequest[],
  onDone?: (done: number, failed: number) => void,
): Promise<RoundResult> {
  const prepared = requests.map(({ prompt, maxTokens, intendedStart = 0 }) =>
    client.prepare(
      '/v1/completions',
      {
        model: client.target.model,
        prompt,
        max_tokens: maxTokens,
        ignore_eos: true,
        temperature: 0,
        stream: true,
        stream_options: { include_usage: true },
      },
      { expectedTokens: maxTokens, intendedStart },
    ),
  );
  return client.run(prepared, {
    maxInFlight: null,
    requestTimeoutSeconds: REQUEST_TIMEOUT_SECONDS,
    signal,
    ...(onDone === undefined ? {} : { onRecord: (_, { done, failed }) => onDone(done, failed) }),
  });
}

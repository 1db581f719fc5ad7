import type { DelaySummary } from '../client-health.js';
import type { Endpoint } from '../endpoint.js';
import type { RequestRecord } from '../request.js';
import type { SharedRequestMemory } from './shared-requests.js';

/** What a thread is started with. */
export interface WorkerTask {
  readonly endpoint: Endpoint;
  readonly requests: SharedRequestMemory;
  /** Its share of the places; null: no limit. */
  readonly maxInFlight: number | null;
  readonly requestTimeoutSeconds: number;
  readonly speed: number;
  /** false: texts stay where they were read, but for those whose tokens are still to be counted. */
  readonly sendsTexts: boolean;
}

export type ToWorker =
  /** @property atMs of the machine's monotonic clock */
  { readonly kind: 'start'; readonly atMs: number } | { readonly kind: 'abort' };

export type FromWorker =
  /** Code is warm, connections are open. */
  | { readonly kind: 'ready' }
  /** Ended requests, in the order of their ends; how many of its requests are in flight now. */
  | { readonly kind: 'records'; readonly records: readonly RequestRecord[]; readonly inFlight: number }
  /** Nothing is left to send or to read. */
  | {
      readonly kind: 'end';
      readonly durationSeconds: number;
      readonly interrupted: boolean;
      readonly eventLoopDelayMs: DelaySummary;
    };

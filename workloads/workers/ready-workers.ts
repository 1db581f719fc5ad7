import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { DelaySummary } from '../client-health.js';
import type { Endpoint } from '../endpoint.js';
import type { RequestRecord } from '../request.js';
import type { RoundOptions, RoundProgress, RoundRequest } from '../request-round.js';
import { monotonicOffsetMs } from './monotonic-clock.js';
import { shareRequests } from './shared-requests.js';
import type { FromWorker, ToWorker, WorkerTask } from './worker-messages.js';

export interface WorkersOptions extends Pick<RoundOptions, 'maxInFlight' | 'requestTimeoutSeconds' | 'signal'> {
  readonly workers: number;
  readonly speed: number;
  /** Whether `onRecord` needs the texts of answers. */
  readonly needsTexts: boolean;
  /** Called with each record, thread by thread in the order of their ends, within some 100 ms; all times by one clock. */
  onRecord(record: RequestRecord, progress: RoundProgress, worker: number): void;
}

export interface WorkersResult {
  /** From the start to the last ending of all, seconds of the server's time. */
  readonly durationSeconds: number;
  readonly interrupted: boolean;
  /** Of each thread. */
  readonly eventLoopDelaysMs: readonly DelaySummary[];
}

/** So that the word to start has reached every thread when the clock does. */
const START_DELAY_MS = 10;

/**
 * Makes several threads ready to send a round, each with its own event loop and connections; the call sends it. The
 * requests are shared, the places under the concurrency limit are divided: a place that is freed takes the next request
 * of all in the thread in which it became free, without asking anybody, and together they are never more than the
 * limit. (With a dispatcher every request would wait for two messages between threads, and at thousands a second for
 * the dispatcher.) An abort resolves with `interrupted`, after every request's record.
 * @throws the first error of a thread, here or in the call
 */
export async function readyWorkers(
  endpoint: Endpoint,
  requests: readonly RoundRequest[],
  options: WorkersOptions,
): Promise<() => Promise<WorkersResult>> {
  const { signal, workers: count } = options;
  const isOpenLoop = (requests.at(-1)?.intendedStart ?? 0) > 0;
  const places = options.maxInFlight ?? (isOpenLoop ? null : requests.length);
  const memory = shareRequests(requests);
  const progress = new SumOfProgress(count);
  const threads = Array.from({ length: count }, (_, worker) => {
    const task: WorkerTask = {
      endpoint,
      requests: memory,
      maxInFlight: places === null ? null : shareOf(places, count, worker),
      requestTimeoutSeconds: options.requestTimeoutSeconds,
      speed: options.speed,
      sendsTexts: options.needsTexts,
    };
    return new WorkerHandle(task, (records, inFlight) => {
      for (const record of records) {
        options.onRecord(record, progress.count(record, worker, inFlight), worker);
      }
    });
  });
  const sayToAll = (message: ToWorker): void => {
    for (const thread of threads) {
      thread.say(message);
    }
  };
  const onAbort = (): void => sayToAll({ kind: 'abort' });
  const dispose = async (): Promise<void> => {
    signal.removeEventListener('abort', onAbort);
    await Promise.all(threads.map((thread) => thread.terminate()));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.all(threads.map((thread) => thread.ready));
  } catch (error) {
    await dispose();
    throw error;
  }
  return async () => {
    try {
      sayToAll(
        signal.aborted
          ? { kind: 'abort' }
          : { kind: 'start', atMs: performance.now() + START_DELAY_MS + monotonicOffsetMs() },
      );
      const ends = await Promise.all(threads.map((thread) => thread.ended));
      return {
        durationSeconds: Math.max(...ends.map((end) => end.durationSeconds)),
        interrupted: ends.some((end) => end.interrupted),
        eventLoopDelaysMs: ends.map((end) => end.eventLoopDelayMs),
      };
    } finally {
      await dispose();
    }
  };
}

/** Places of one thread: all of them together are the limit. */
export function shareOf(places: number, workers: number, worker: number): number {
  return Math.floor(places / workers) + (worker < places % workers ? 1 : 0);
}

class SumOfProgress {
  readonly #inFlight: number[];
  #done = 0;
  #failed = 0;

  constructor(workers: number) {
    this.#inFlight = new Array(workers).fill(0);
  }

  count(record: RequestRecord, worker: number, inFlight: number): RoundProgress {
    this.#inFlight[worker] = inFlight;
    this.#done += 1;
    this.#failed += record.outcome.state === 'failed' ? 1 : 0;
    return { done: this.#done, failed: this.#failed, inFlight: this.#inFlight.reduce((sum, own) => sum + own, 0) };
  }
}

type WorkerEnd = Extract<FromWorker, { kind: 'end' }>;

class WorkerHandle {
  readonly ready: Promise<void>;
  readonly ended: Promise<WorkerEnd>;
  readonly #worker: Worker;

  constructor(task: WorkerTask, onRecords: (records: readonly RequestRecord[], inFlight: number) => void) {
    const worker = new Worker(threadProgram(), { workerData: task });
    this.#worker = worker;
    let fail: (error: unknown) => void = () => undefined;
    let onReady: () => void = () => undefined;
    let onEnd: (end: WorkerEnd) => void = () => undefined;
    this.ready = new Promise((resolve, reject) => {
      onReady = resolve;
      fail = reject;
    });
    this.ended = new Promise((resolve, reject) => {
      onEnd = resolve;
      const failReady = fail;
      fail = (error) => {
        failReady(error);
        reject(error);
      };
    });
    // Whichever of the two nobody waits for when it fails.
    this.ready.catch(() => undefined);
    this.ended.catch(() => undefined);
    worker.on('error', fail);
    worker.on('exit', () => fail(new Error('A worker thread of the client ended before its requests did.')));
    worker.on('message', (message: FromWorker) => {
      try {
        if (message.kind === 'ready') {
          onReady();
        } else if (message.kind === 'records') {
          onRecords(message.records, message.inFlight);
        } else {
          onEnd(message);
        }
      } catch (error) {
        fail(error);
      }
    });
  }

  say(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** The compiled program, also when this module runs from its TypeScript source (tests). */
function threadProgram(): string {
  const here = fileURLToPath(import.meta.url);
  const folder = path.dirname(here);
  return path.join(
    here.endsWith('.ts') ? path.join(folder, '../../dist/workloads/workers') : folder,
    'worker-thread.js',
  );
}

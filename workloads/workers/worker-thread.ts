// One of the threads that `readyWorkers` starts: sends what it takes from the shared requests, and tells what came.
import { parentPort, workerData } from 'node:worker_threads';
import { LoopWatch } from '../client-health.js';
import { ConnectionPool } from '../connection-pool.js';
import { rehearse } from '../rehearsal.js';
import type { RequestRecord } from '../request.js';
import { type RoundClock, runRound } from '../request-round.js';
import { monotonicOffsetMs } from './monotonic-clock.js';
import { SharedRequests } from './shared-requests.js';
import type { FromWorker, ToWorker, WorkerTask } from './worker-messages.js';

/** Records are told a few at a time: a message for each would cost as much as a short request. */
const TELL_INTERVAL_MS = 100;
const TELL_AT_ONCE = 256;

async function work(task: WorkerTask): Promise<void> {
  const interruption = new AbortController();
  const { signal } = interruption;
  const started = new Promise<RoundClock>((resolve) => {
    parentPort?.on('message', (message: ToWorker) => {
      if (message.kind === 'abort') {
        interruption.abort();
      }
      const startedAt = message.kind === 'start' ? message.atMs - monotonicOffsetMs() : performance.now();
      resolve({ startedAt, freeAt: startedAt });
    });
  });
  await rehearse(signal);
  const watch = new LoopWatch();
  const tell = (message: FromWorker): void => parentPort?.postMessage(message);
  let untold: RequestRecord[] = [];
  let inFlight = 0;
  const tellRecords = (): void => {
    tell({ kind: 'records', records: untold, inFlight });
    untold = [];
  };
  const teller = setInterval(tellRecords, TELL_INTERVAL_MS);
  const pool = new ConnectionPool(task.endpoint, signal);
  try {
    const round = await runRound(pool, new SharedRequests(task.requests), {
      maxInFlight: task.maxInFlight,
      requestTimeoutSeconds: task.requestTimeoutSeconds,
      speed: task.speed,
      signal,
      taken: new Int32Array(task.requests.taken),
      keepRecords: false,
      clock: async () => {
        tell({ kind: 'ready' });
        const clock = await started;
        watch.start();
        return clock;
      },
      onRecord: (record, progress) => {
        inFlight = progress.inFlight;
        const needsText = task.sendsTexts || record.completionTokens === null;
        untold.push(needsText ? record : { ...record, text: '' });
        if (untold.length >= TELL_AT_ONCE) {
          tellRecords();
        }
      },
    });
    tellRecords();
    tell({
      kind: 'end',
      durationSeconds: round.durationSeconds,
      interrupted: round.interrupted,
      eventLoopDelayMs: watch.stop(),
    });
  } finally {
    clearInterval(teller);
    pool.close();
    parentPort?.removeAllListeners('message');
  }
}

await work(workerData as WorkerTask);

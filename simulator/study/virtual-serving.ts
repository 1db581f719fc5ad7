import type { LmcacheConnector, StepTimeModel } from '../contracts.js';
import { EngineLoop } from '../engine/engine-loop.js';
import type { SchedulerLimits } from '../engine/scheduler.js';
import { Sequence } from '../engine/sequence.js';
import { VirtualClock } from './virtual-clock.js';

export interface VirtualRequest {
  readonly promptIds: readonly number[];
  readonly outputTokens: number;
  /** The prompt is sent as token ids; false if left out. */
  readonly cameAsIds?: boolean;
}

export interface VirtualRecord {
  /** Simulated seconds: sent, first and last token at the client. */
  readonly start: number;
  readonly ttft: number;
  readonly end: number;
  readonly cachedTokens: number;
}

export interface VirtualEngine {
  readonly clock: VirtualClock;
  readonly loop: EngineLoop;
  /** Sends the requests in order, `inFlight` at a time; each client needs `turnaroundSeconds` before its next one. */
  round(
    requests: readonly VirtualRequest[],
    inFlight: number,
    turnaroundSeconds: number,
  ): Promise<readonly VirtualRecord[]>;
  /** Sends each request at its own time, in simulated seconds from now; records in the order of the requests. */
  replay(requests: readonly TimedRequest[]): Promise<readonly VirtualRecord[]>;
}

export interface TimedRequest extends VirtualRequest {
  readonly at: number;
}

/** An engine in virtual time: scheduler, cache and step times as in the server, without HTTP and without waiting. */
export function createVirtualEngine(options: {
  readonly limits: SchedulerLimits;
  readonly stepTime: StepTimeModel;
  readonly connector?: (clock: VirtualClock) => LmcacheConnector;
}): VirtualEngine {
  const clock = new VirtualClock();
  const waiting = new Map<Sequence, (sequence: Sequence) => void>();
  const loop = new EngineLoop({
    limits: options.limits,
    stepTime: options.stepTime,
    clock,
    connector: options.connector?.(clock) ?? null,
    listener: {
      onToken: (sequence) => waiting.get(sequence)?.(sequence),
      onStep: () => undefined,
      onFatal: (error) => {
        throw error;
      },
    },
  });
  const send = (request: VirtualRequest, onEnd: (record: VirtualRecord) => void): void => {
    const start = clock.now();
    let ttft = Number.NaN;
    const sequence = new Sequence(
      {
        promptIds: request.promptIds,
        cameAsIds: request.cameAsIds ?? false,
        maxTokens: request.outputTokens,
        minTokens: 0,
        ignoreEos: true,
        eosTokenId: 0,
        openStream: () => ({ tokenAt: (position) => 1000 + position, length: Number.POSITIVE_INFINITY }),
      },
      options.limits.blockTokens,
    );
    waiting.set(sequence, ({ outputIds, cachedTokens, finished }) => {
      if (outputIds.length === 1) ttft = clock.now() - start;
      if (finished === null) return;
      waiting.delete(sequence);
      onEnd({ start, ttft, end: clock.now(), cachedTokens });
    });
    loop.submit([sequence], start);
  };
  return {
    clock,
    loop,
    async replay(requests) {
      const records: VirtualRecord[] = [];
      const from = clock.now();
      for (const [index, request] of requests.entries()) {
        clock.at(from + request.at, () =>
          send(request, (record) => {
            records[index] = { ...record, start: record.start - from, end: record.end - from };
          }),
        );
      }
      await clock.run();
      return records;
    },
    async round(requests, inFlight, turnaroundSeconds) {
      const records: VirtualRecord[] = [];
      let next = 0;
      const sendNext = (): void => {
        const index = next;
        const request = requests[index];
        if (request === undefined) return;
        next += 1;
        send(request, (record) => {
          records[index] = record;
          clock.at(clock.now() + turnaroundSeconds, sendNext);
        });
      };
      for (let client = 0; client < inFlight; client += 1) clock.at(clock.now() + client * 0.0003, sendNext);
      await clock.run();
      return records;
    },
  };
}

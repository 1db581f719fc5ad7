import type { LmcacheConnector, StepTimeModel } from '../contracts.js';
import { EngineLoop } from '../engine/engine-loop.js';
import type { SchedulerLimits } from '../engine/scheduler.js';
import { Sequence } from '../engine/sequence.js';
import { VirtualClock } from './virtual-clock.js';

export interface VirtualRequest {
  readonly promptIds: readonly number[];
  readonly outputTokens: number;
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
  return {
    clock,
    loop,
    async round(requests, inFlight, turnaroundSeconds) {
      const records: VirtualRecord[] = [];
      let next = 0;
      const send = (): void => {
        const index = next;
        const request = requests[index];
        if (request === undefined) return;
        next += 1;
        const start = clock.now();
        let ttft = Number.NaN;
        const sequence = new Sequence(
          {
            promptIds: request.promptIds,
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
          records[index] = { start, ttft, end: clock.now(), cachedTokens };
          clock.at(clock.now() + turnaroundSeconds, send);
        });
        loop.submit([sequence], start);
      };
      for (let client = 0; client < inFlight; client += 1) clock.at(clock.now() + client * 0.0003, send);
      await clock.run();
      return records;
    },
  };
}

import { setTimeout as delay } from 'node:timers/promises';
import { type ClientHealth, ClientWatch } from '../../workloads/client-health.js';
import { MeasuringClient } from '../../workloads/measuring-client.js';
import { type RequestRecord, ttftSeconds } from '../../workloads/request.js';
import type { SimulatedBy, Target } from '../../workloads/target.js';
import type { ConversationPlan, PlannedRequest } from '../../workloads/traces/replay-plan.js';

/** One request as it went. Times are seconds of the server's time after the replay's start. */
export interface ReplayedRequest {
  readonly planned: PlannedRequest;
  readonly sentSeconds: number;
  readonly endedSeconds: number;
  /** Its own times start when it was sent. */
  readonly record: RequestRecord;
}

export interface ReplayProgress {
  readonly done: number;
  readonly total: number;
  readonly failed: number;
  readonly inFlight: number;
}

export interface ReplayOptions {
  readonly signal: AbortSignal;
  /** No turn is sent later, in seconds of the server's time; what is in flight then is waited for. */
  readonly timeLimitSeconds: number;
  /** Limit of each request, in seconds of the server's time. */
  readonly requestTimeoutSeconds: number;
  onRequest?(request: ReplayedRequest, progress: ReplayProgress): void;
}

export interface ReplayResult {
  /** In the order in which they ended. */
  readonly requests: readonly ReplayedRequest[];
  /** Turns that were not sent: the time was up, or a turn before them had failed. */
  readonly unsent: number;
  /** Until the last answer. */
  readonly durationSeconds: number;
  readonly simulated: SimulatedBy | null;
  readonly health: ClientHealth;
}

/** Node's timers are late by up to a millisecond or two. */
const timerSlackMs = 2;

/**
 * Sends the turns of a plan as chat completions when they are due, open loop, each conversation's turns in order: a
 * turn whose predecessor is not answered yet waits for it. What the server answered goes into the next turn's prompt.
 * An abort ends what is in flight and resolves.
 * @throws ServerUnreachableError when nobody answers before the first turn.
 */
export async function replayConversations(
  target: Target,
  plan: ConversationPlan,
  options: ReplayOptions,
): Promise<ReplayResult> {
  const client = await MeasuringClient.connect(target, options.signal);
  try {
    return await new Replay(client, plan, options).run();
  } finally {
    client.close();
  }
}

class Replay {
  readonly #client: MeasuringClient;
  readonly #plan: ConversationPlan;
  readonly #options: ReplayOptions;
  readonly #done: ReplayedRequest[] = [];
  readonly #answers = new Map<number, string>();
  readonly #sendLagsMs: number[] = [];
  #startedAt = 0;
  #sent = 0;
  #failed = 0;
  #lastEnd = 0;

  constructor(client: MeasuringClient, plan: ConversationPlan, options: ReplayOptions) {
    this.#client = client;
    this.#plan = plan;
    this.#options = options;
  }

  async run(): Promise<ReplayResult> {
    const { requests } = this.#plan;
    const watch = new ClientWatch();
    this.#startedAt = performance.now();
    const turns = new Map<number, Promise<boolean>>();
    for (const planned of requests) {
      if (planned.dueSeconds > this.#options.timeLimitSeconds) break;
      const before = planned.afterIndex === null ? undefined : turns.get(planned.afterIndex);
      turns.set(planned.index, this.#turn(planned, before ?? Promise.resolve(true)));
      // Turns are made one by one as time goes on, not thousands of timers at once.
      await this.#waitUntil(planned.dueSeconds - lookAheadSeconds * this.#client.speed);
      if (this.#options.signal.aborted) break;
    }
    await Promise.all(turns.values());
    const ttftsMs = this.#done.flatMap(({ record }) => {
      const ttft = record.outcome.state === 'ok' ? ttftSeconds(record) : null;
      return ttft === null ? [] : [(ttft * 1000) / this.#client.speed];
    });
    return {
      requests: this.#done,
      unsent: requests.length - this.#sent,
      durationSeconds: this.#lastEnd,
      simulated: this.#client.simulated,
      health: watch.stop(this.#sendLagsMs, ttftsMs),
    };
  }

  /** @returns whether it was answered. */
  async #turn(planned: PlannedRequest, before: Promise<boolean>): Promise<boolean> {
    const { signal, timeLimitSeconds, requestTimeoutSeconds } = this.#options;
    if (!(await before)) return false;
    // Made ahead, where the turn before left time for it.
    const request = this.#request(planned);
    await this.#waitUntil(planned.dueSeconds);
    const readySeconds = Math.max(planned.dueSeconds, 0);
    if (signal.aborted || this.#seconds() > timeLimitSeconds) return false;
    this.#sent += 1;
    const sentSeconds = this.#seconds();
    const round = await this.#client.run([request], { maxInFlight: null, requestTimeoutSeconds, signal });
    const [record] = round.records;
    if (record === undefined) return false;
    // A turn that waited for its predecessor was not due: only what the client itself added counts as lag.
    const lag = planned.afterIndex === null ? sentSeconds - readySeconds : 0;
    this.#sendLagsMs.push((round.sendLagsMs[0] ?? 0) + (lag * 1000) / this.#client.speed);
    return this.#finish(planned, sentSeconds, record);
  }

  #request(planned: PlannedRequest) {
    const messages = this.#plan.messagesOf(planned.index, (index) => this.#answers.get(index));
    const body = {
      model: this.#client.target.model,
      messages,
      max_completion_tokens: planned.outputTokens,
      // As many tokens as the data set's answer has: every sweep generates the same load.
      ignore_eos: true,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    };
    return this.#client.prepare('/v1/chat/completions', body, {
      expectedTokens: planned.outputTokens,
      requestId: planned.requestId,
    });
  }

  #finish(planned: PlannedRequest, sentSeconds: number, record: RequestRecord): boolean {
    const answered = record.outcome.state === 'ok';
    if (answered) this.#answers.set(planned.index, record.text);
    else this.#failed += 1;
    const endedSeconds = this.#seconds();
    this.#lastEnd = Math.max(this.#lastEnd, endedSeconds);
    const request = { planned, sentSeconds, endedSeconds, record };
    this.#done.push(request);
    const total = this.#plan.requests.length;
    const done = this.#done.length;
    this.#options.onRequest?.(request, { done, total, failed: this.#failed, inFlight: this.#sent - done });
    return answered;
  }

  #seconds(): number {
    return ((performance.now() - this.#startedAt) / 1000) * this.#client.speed;
  }

  async #waitUntil(seconds: number): Promise<void> {
    const { signal } = this.#options;
    for (;;) {
      const leftMs = ((seconds - this.#seconds()) * 1000) / this.#client.speed;
      if (leftMs <= 0 || signal.aborted) return;
      if (leftMs > timerSlackMs) await delay(leftMs - timerSlackMs, undefined, { signal }).catch(() => undefined);
      else await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** Wall-clock seconds: how long before it is due a turn is prepared. */
const lookAheadSeconds = 0.1;

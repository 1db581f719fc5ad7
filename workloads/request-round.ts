import type { ConnectionPool } from './connection-pool.js';
import { Exchange } from './exchange.js';
import type { HttpConnection } from './http-connection.js';
import { ParseQueue } from './parse-queue.js';
import type { RequestFailure, RequestRecord } from './request.js';

/** One request of a round, serialised ahead. */
export interface RoundRequest {
  /** The bytes to write, in pieces. */
  readonly parts: readonly Buffer[];
  /** Seconds of the server's time after the round's start; ascending within a round. */
  readonly intendedStart: number;
  /** Sizes buffers; no limit. */
  readonly expectedTokens: number;
}

/** The requests of a round: an array, or what stands for one. */
export interface RequestList {
  readonly length: number;
  /** Negative: from the end. */
  at(index: number): RoundRequest | undefined;
}

export interface RoundProgress {
  readonly done: number;
  readonly failed: number;
  readonly inFlight: number;
}

export interface RoundOptions {
  /** null: no limit. */
  readonly maxInFlight: number | null;
  /** Limit of each request, seconds of the server's time. */
  readonly requestTimeoutSeconds: number;
  /** Seconds of the server's time a wall-clock second: 1 for a real server. */
  readonly speed: number;
  readonly signal: AbortSignal;
  /** Where this round is a part of a longer one, or waits for others once it is ready; default: it begins then. */
  readonly clock?: RoundClock | (() => Promise<RoundClock>);
  /** [0] counts the requests that somebody has taken; shared, where several threads send the same ones. */
  readonly taken?: Int32Array;
  /** false: the result has no records; `onRecord` saw each. */
  readonly keepRecords?: boolean;
  /** Called with each record as soon as its answer is read, in order of completion. */
  onRecord?(record: RequestRecord, progress: RoundProgress): void;
}

/** Both as performance.now(). */
export interface RoundClock {
  /** The zero of all times. */
  readonly startedAt: number;
  /** Before this nothing could be sent: what it depends on had not come. */
  readonly freeAt: number;
}

export interface RoundResult {
  /** Those that this round took, in the order of the requests. */
  readonly records: readonly RequestRecord[];
  /** From the start to the last ending, seconds of the server's time. */
  readonly durationSeconds: number;
  /** Wall-clock lag of each request that was sent. */
  readonly sendLagsMs: readonly number[];
  readonly interrupted: boolean;
}

/** Node's timers are late by up to a millisecond or two: the rest is waited turn by turn of the event loop. */
const TIMER_SLACK_MS = 2;
/** Open loop: idle connections kept ready for the next arrivals. */
const SPARE_CONNECTIONS = 8;
/** ... and at the start those for the requests of so much time; more are opened when answers take longer. */
const WARM_SECONDS = 0.25;
const MAX_WARM_CONNECTIONS = 1024;
/** So long before a request is due a connection is made ready for it: one that was idle for long is of no use. */
const CONNECT_AHEAD_MS = 100;
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

interface Flight {
  readonly index: number;
  readonly readyAt: number;
  connection: HttpConnection | null;
  timer: NodeJS.Timeout | null;
}

/**
 * Sends requests on their schedule under a concurrency limit and records each. Never retries. Resolves when the last
 * answer is read; an abort ends what is in flight and resolves with the records so far, the rest as aborted.
 */
export function runRound(pool: ConnectionPool, requests: RequestList, options: RoundOptions): Promise<RoundResult> {
  return new Round(pool, requests, options).run();
}

class Round {
  readonly #pool: ConnectionPool;
  readonly #requests: RequestList;
  readonly #options: RoundOptions;
  readonly #queue: ParseQueue;
  readonly #flights = new Map<Exchange, Flight>();
  readonly #taken: Int32Array;
  readonly #records: (RequestRecord | undefined)[];
  readonly #sendLagsMs: number[] = [];
  /** When each free place under the limit became free, oldest first; unused without a limit. */
  readonly #freePlaces: number[] = [];
  readonly #limit: number;
  readonly #isOpenLoop: boolean;
  #startedAt = 0;
  #freeAt = 0;
  #lastEndAt = 0;
  #started = 0;
  #inFlight = 0;
  #done = 0;
  #failed = 0;
  #interrupted = false;
  #wake: (() => void) | null = null;
  #onAllRead: () => void = () => undefined;

  constructor(pool: ConnectionPool, requests: RequestList, options: RoundOptions) {
    this.#pool = pool;
    this.#requests = requests;
    this.#options = options;
    this.#queue = new ParseQueue((exchange) => this.#record(exchange));
    this.#taken = options.taken ?? new Int32Array(1);
    this.#records = new Array(options.keepRecords === false ? 0 : requests.length);
    this.#limit = options.maxInFlight ?? Number.POSITIVE_INFINITY;
    this.#isOpenLoop = (requests.at(-1)?.intendedStart ?? 0) > 0;
  }

  async run(): Promise<RoundResult> {
    const { signal } = this.#options;
    const allRead = new Promise<void>((resolve) => {
      this.#onAllRead = resolve;
    });
    const onAbort = (): void => this.#abort();
    if (!signal.aborted) {
      await this.#openConnections();
    }
    const { clock } = this.#options;
    const { startedAt, freeAt } = typeof clock === 'function' ? await clock() : (clock ?? roundClockNow());
    this.#startedAt = startedAt;
    this.#freeAt = freeAt;
    this.#lastEndAt = this.#freeAt;
    if (this.#limit < Number.POSITIVE_INFINITY) {
      for (let place = Math.min(this.#limit, this.#requests.length); place > 0; place -= 1) {
        this.#freePlaces.push(this.#freeAt);
      }
    }
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (signal.aborted) {
        this.#abort();
      } else {
        this.#dispatch();
      }
      await allRead;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#wake?.();
      this.#queue.close();
    }
    return {
      records: this.#records.filter((record) => record !== undefined),
      durationSeconds: this.#seconds(this.#lastEndAt),
      sendLagsMs: this.#sendLagsMs,
      interrupted: this.#interrupted,
    };
  }

  /** Ahead of the clock. Who cannot be reached now gets its failure recorded with each request. */
  async #openConnections(): Promise<void> {
    const most = Math.min(this.#requests.length, this.#limit);
    const lastDue = this.#requests.at(-1)?.intendedStart ?? 0;
    const first = (this.#requests.length / lastDue) * this.#options.speed * WARM_SECONDS;
    const few = Math.min(MAX_WARM_CONNECTIONS, Math.max(SPARE_CONNECTIONS, Math.ceil(first)));
    await this.#pool.warm(this.#isOpenLoop ? Math.min(most, few) : most).catch(() => undefined);
  }

  #dispatch(): void {
    while (this.#inFlight < this.#limit && !this.#interrupted) {
      const index = Atomics.load(this.#taken, 0);
      const request = index < this.#requests.length ? this.#requests.at(index) : undefined;
      if (request === undefined) {
        this.#settle();
        return;
      }
      const intendedAt = this.#startedAt + (request.intendedStart * 1000) / this.#options.speed;
      if (intendedAt > performance.now()) {
        this.#wakeAt(intendedAt);
        return;
      }
      // Another thread may have been faster.
      if (Atomics.compareExchange(this.#taken, 0, index, index + 1) === index) {
        const placeFreeAt = this.#freePlaces.shift() ?? this.#freeAt;
        this.#start(index, request, Math.max(intendedAt, placeFreeAt));
      }
    }
  }

  #start(index: number, request: RoundRequest, readyAt: number): void {
    const exchange = new Exchange(request.expectedTokens, this.#queue, (ended, time) => this.#ended(ended, time));
    const flight: Flight = { index, readyAt, connection: null, timer: null };
    this.#flights.set(exchange, flight);
    this.#started += 1;
    this.#inFlight += 1;
    const connection = this.#pool.take();
    if (connection !== null) {
      this.#send(exchange, flight, request, connection);
    } else {
      this.#pool.wait({
        use: (given) => {
          if (exchange.hasEnded) {
            this.#pool.give(given);
          } else {
            this.#send(exchange, flight, request, given);
          }
        },
        fail: (error) => exchange.fail({ reason: 'connection', message: messageOf(error) }, performance.now()),
      });
    }
    if (this.#isOpenLoop) {
      this.#pool.keepSpare(SPARE_CONNECTIONS);
    }
  }

  #send(exchange: Exchange, flight: Flight, request: RoundRequest, connection: HttpConnection): void {
    const { requestTimeoutSeconds, speed } = this.#options;
    flight.connection = connection;
    exchange.sentAt = performance.now();
    connection.send(request.parts, exchange);
    this.#sendLagsMs.push(exchange.sentAt - flight.readyAt);
    const timeoutMs = (requestTimeoutSeconds * 1000) / speed;
    if (timeoutMs <= MAX_TIMEOUT_MS) {
      flight.timer = setTimeout(() => {
        const message = `No complete answer within ${requestTimeoutSeconds} s.`;
        this.#giveUp(exchange, flight, { reason: 'timeout', message });
      }, timeoutMs);
    }
  }

  #giveUp(exchange: Exchange, flight: Flight, failure: RequestFailure): void {
    flight.connection?.destroy();
    exchange.fail(failure, performance.now());
  }

  /** A place is free again: the next request leaves before anything of this one is looked at. */
  #ended(exchange: Exchange, time: number): void {
    const flight = this.#flights.get(exchange);
    if (flight?.timer) {
      clearTimeout(flight.timer);
    }
    if (flight?.connection) {
      this.#pool.give(flight.connection);
    }
    this.#lastEndAt = Math.max(this.#lastEndAt, time);
    this.#inFlight -= 1;
    if (this.#limit < Number.POSITIVE_INFINITY) {
      this.#freePlaces.push(time);
    }
    this.#dispatch();
  }

  #abort(): void {
    this.#interrupted = true;
    this.#wake?.();
    const failure: RequestFailure = { reason: 'aborted', message: 'The run was interrupted.' };
    for (const [exchange, flight] of this.#flights) {
      if (!exchange.hasEnded) {
        this.#giveUp(exchange, flight, failure);
      }
    }
    for (let index = this.#take(); index < this.#requests.length; index = this.#take()) {
      const exchange = new Exchange(0, this.#queue, () => undefined);
      this.#flights.set(exchange, { index, readyAt: performance.now(), connection: null, timer: null });
      this.#started += 1;
      exchange.fail(failure, performance.now());
    }
    this.#settle();
  }

  #take(): number {
    return Atomics.add(this.#taken, 0, 1);
  }

  /** Nothing is left to take, and all that was started is read. */
  #settle(): void {
    if (this.#done === this.#started && Atomics.load(this.#taken, 0) >= this.#requests.length) {
      this.#onAllRead();
    }
  }

  #record(exchange: Exchange): void {
    const flight = this.#flights.get(exchange);
    const request = flight === undefined ? undefined : this.#requests.at(flight.index);
    if (flight === undefined || request === undefined) {
      return;
    }
    this.#flights.delete(exchange);
    const { reader } = exchange;
    const { text, outcome } = exchange.conclude();
    const tokenTimes = new Float64Array(reader.tokenTimes.length);
    for (let token = 0; token < tokenTimes.length; token += 1) {
      tokenTimes[token] = this.#seconds(reader.tokenTimes.at(token));
    }
    const firstTokenAt = Number.isNaN(reader.firstContentTime) ? reader.tokenTimes.at(0) : reader.firstContentTime;
    const record: RequestRecord = {
      index: flight.index,
      intendedStart: request.intendedStart,
      readyAt: this.#seconds(flight.readyAt),
      sentAt: this.#secondsOrNull(exchange.sentAt),
      bodySentAt: this.#secondsOrNull(exchange.bodySentAt),
      headersAt: this.#secondsOrNull(exchange.headersAt),
      firstByteAt: this.#secondsOrNull(exchange.firstByteAt),
      firstTokenAt: this.#secondsOrNull(firstTokenAt),
      tokenTimes,
      endedAt: this.#seconds(exchange.endedAt),
      status: exchange.status,
      promptTokens: reader.promptTokens,
      completionTokens: reader.completionTokens,
      cachedTokens: reader.cachedTokens,
      finishReason: reader.finishReason,
      text,
      outcome,
    };
    if (this.#options.keepRecords !== false) {
      this.#records[flight.index] = record;
    }
    this.#done += 1;
    this.#failed += outcome.state === 'failed' ? 1 : 0;
    this.#options.onRecord?.(record, { done: this.#done, failed: this.#failed, inFlight: this.#inFlight });
    this.#settle();
  }

  #wakeAt(at: number): void {
    this.#wake?.();
    const delay = at - performance.now() - TIMER_SLACK_MS;
    if (delay > 0) {
      const isFarAway = delay > CONNECT_AHEAD_MS;
      if (!isFarAway) {
        this.#pool.keepSpare(1);
      }
      const waitMs = isFarAway ? delay - CONNECT_AHEAD_MS : delay;
      const timer = setTimeout(() => this.#dispatch(), Math.min(waitMs, MAX_TIMEOUT_MS));
      this.#wake = () => clearTimeout(timer);
    } else {
      const immediate = setImmediate(() => this.#dispatch());
      this.#wake = () => clearImmediate(immediate);
    }
  }

  #seconds(time: number): number {
    return ((time - this.#startedAt) / 1000) * this.#options.speed;
  }

  #secondsOrNull(time: number): number | null {
    return Number.isNaN(time) ? null : this.#seconds(time);
  }
}

function roundClockNow(): RoundClock {
  const now = performance.now();
  return { startedAt: now, freeAt: now };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

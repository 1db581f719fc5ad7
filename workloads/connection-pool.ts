import type { Endpoint } from './endpoint.js';
import { type GiveUp, HttpConnection } from './http-connection.js';

/** vLLM's server (uvicorn) closes a connection that was idle for 5 s: one near that may die while we write. */
const MAX_IDLE_MS = 3000;
const CONNECT_TIMEOUT_MS = 10_000;
/** So many are opened side by side: a server's backlog is finite. */
const OPEN_AT_ONCE = 64;
const OPEN_FOR_WAITERS = 256;

/** Somebody who needs a connection. */
export interface Waiter {
  use(connection: HttpConnection): void;
  fail(error: unknown): void;
}

/** Kept-alive connections to one server, opened ahead and reused, the most recently used first. */
export class ConnectionPool {
  readonly #endpoint: Endpoint;
  readonly #signal: AbortSignal;
  /** What is still connecting: a listener of the signal for each would make each one look at all others. */
  readonly #pending = new Set<GiveUp>();
  readonly #onAbort = (): void => this.#giveUp(this.#signal.reason);
  readonly #idle: HttpConnection[] = [];
  readonly #waiters: Waiter[] = [];
  readonly #all = new Set<HttpConnection>();
  #opening = 0;
  #closed = false;

  constructor(endpoint: Endpoint, signal: AbortSignal) {
    this.#endpoint = endpoint;
    this.#signal = signal;
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Opens connections until `count` idle ones are fresh. @throws the first error of connecting. */
  async warm(count: number): Promise<void> {
    this.#dropStale();
    let missing = count - this.#idle.length;
    while (missing > 0) {
      const batch = Math.min(missing, OPEN_AT_ONCE);
      const opened = await Promise.allSettled(Array.from({ length: batch }, () => this.#open()));
      for (const result of opened) {
        if (result.status === 'fulfilled') {
          this.give(result.value);
        }
      }
      const refused = opened.find((result) => result.status === 'rejected');
      if (refused !== undefined) {
        throw refused.reason;
      }
      missing -= batch;
    }
  }

  /** Opens one more in the background when fewer than `count` are idle; an error waits for whoever needs it. */
  keepSpare(count: number): void {
    this.#dropStale();
    if (this.#idle.length + this.#opening >= count || this.#closed) {
      return;
    }
    this.#opening += 1;
    this.#open().then(
      (connection) => {
        this.#opening -= 1;
        this.give(connection);
      },
      () => {
        this.#opening -= 1;
        this.#openForWaiters();
      },
    );
  }

  /** An idle connection, or null where there is none: see `wait`. */
  take(): HttpConnection | null {
    this.#dropStale();
    return this.#idle.pop() ?? null;
  }

  /** For a connection that somebody gives back or that is opened now, whichever comes first; in order of asking. */
  wait(waiter: Waiter): void {
    this.#waiters.push(waiter);
    this.#openForWaiters();
  }

  #openForWaiters(): void {
    // A client that is late would only be later if it opened one for each request that waits.
    while (this.#opening < Math.min(this.#waiters.length, OPEN_FOR_WAITERS)) {
      this.#opening += 1;
      this.#open().then(
        (connection) => {
          this.#opening -= 1;
          this.give(connection);
          this.#openForWaiters();
        },
        (error) => {
          this.#opening -= 1;
          this.#waiters.shift()?.fail(error);
          this.#openForWaiters();
        },
      );
    }
  }

  /** @throws Error naming the address. */
  async #open(): Promise<HttpConnection> {
    this.#signal.throwIfAborted();
    const connection = await HttpConnection.open(this.#endpoint, CONNECT_TIMEOUT_MS, this.#pending);
    if (this.#closed) {
      connection.destroy();
      throw new Error('The connection pool is closed.');
    }
    this.#all.add(connection);
    connection.onClose = () => this.#all.delete(connection);
    return connection;
  }

  give(connection: HttpConnection): void {
    if (this.#closed) {
      connection.destroy();
    } else if (connection.isOpen) {
      const waiter = this.#waiters.shift();
      if (waiter === undefined) {
        this.#idle.push(connection);
      } else {
        waiter.use(connection);
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#giveUp(new Error('The connection pool is closed.'));
    for (const connection of this.#all) {
      connection.destroy();
    }
    this.#idle.length = 0;
    this.#waiters.length = 0;
  }

  #giveUp(reason: unknown): void {
    for (const giveUp of this.#pending) {
      giveUp(reason);
    }
  }

  #dropStale(): void {
    const oldest = performance.now() - MAX_IDLE_MS;
    let kept = 0;
    for (const connection of this.#idle) {
      if (connection.isOpen && connection.idleSince >= oldest) {
        this.#idle[kept] = connection;
        kept += 1;
      } else {
        connection.destroy();
      }
    }
    this.#idle.length = kept;
  }
}

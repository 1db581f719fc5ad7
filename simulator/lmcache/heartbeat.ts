/**
 * When the engine's worker learns that its cache server is gone, all in simulated seconds: it pings the server every
 * `intervalSeconds` since it registered, and a ping that nobody answers within the same time tells it (LMCache 0.5.3's
 * HeartbeatThread). Loads that are lost wait until then.
 */
export class Heartbeat {
  readonly #intervalSeconds: number;
  #startedAt = 0;

  constructor(intervalSeconds: number) {
    this.#intervalSeconds = intervalSeconds;
  }

  /** The worker has registered. */
  start(at: number): void {
    this.#startedAt = at;
  }

  /** @param lostAt when the server stopped answering. */
  noticesAt(lostAt: number): number {
    const pings = Math.ceil((lostAt - this.#startedAt) / this.#intervalSeconds);
    return this.#startedAt + (pings + 1) * this.#intervalSeconds;
  }
}

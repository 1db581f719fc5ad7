import type { Exchange } from './exchange.js';

/** So long parsing may keep the event loop from the sockets. */
const SLICE_MS = 1;

/**
 * Reads the content of answers when no socket waits: reads of one turn of the event loop all get their timestamps
 * before the first byte is looked at.
 */
export class ParseQueue {
  #waiting = new Set<Exchange>();
  #scheduled: NodeJS.Immediate | null = null;
  readonly #onRead: (exchange: Exchange) => void;

  /** @param onRead called when all that came of an ended exchange is read */
  constructor(onRead: (exchange: Exchange) => void) {
    this.#onRead = onRead;
  }

  add(exchange: Exchange): void {
    this.#waiting.add(exchange);
    this.#scheduled ??= setImmediate(() => this.#work());
  }

  close(): void {
    if (this.#scheduled !== null) {
      clearImmediate(this.#scheduled);
      this.#scheduled = null;
    }
    this.#waiting.clear();
  }

  #work(): void {
    this.#scheduled = null;
    const until = performance.now() + SLICE_MS;
    for (const exchange of this.#waiting) {
      this.#waiting.delete(exchange);
      exchange.drain();
      if (exchange.hasEnded) {
        this.#onRead(exchange);
      }
      if (performance.now() >= until) {
        break;
      }
    }
    if (this.#waiting.size > 0) {
      this.#scheduled ??= setImmediate(() => this.#work());
    }
  }
}

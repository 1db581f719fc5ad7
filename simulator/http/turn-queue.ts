/**
 * Runs jobs in the order they come, one in each turn of the event loop. Fifty prompts that arrive together would
 * otherwise be tokenised in one go, and meanwhile neither the engine's steps nor the cache tier's answers be served.
 */
export class TurnQueue {
  #last: Promise<void> = Promise.resolve();
  #pending = 0;

  /** Starts at once when nothing is before it in this turn. Passes on what the job returns or throws. */
  async run<T>(job: () => T): Promise<T> {
    const before = this.#last;
    const isFree = this.#pending === 0;
    this.#pending += 1;
    let endTurn = (): void => undefined;
    this.#last = new Promise((resolve) => {
      endTurn = resolve;
    });
    if (!isFree) await before;
    try {
      return job();
    } finally {
      setImmediate(() => {
        this.#pending -= 1;
        endTurn();
      });
    }
  }
}

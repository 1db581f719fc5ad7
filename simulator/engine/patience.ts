import type { EngineClock } from './engine-clock.js';

/**
 * How long the choice of a step waits, in wall time, for real work whose simulated time has passed already: answers
 * of the cache tier, and requests whose body is still being read. The wait does not move the schedule; what takes
 * longer is passed over.
 */
const REAL_WORK_PATIENCE_MS = 60;

/** Waits for real work that is late, but not for ever. */
export class Patience {
  readonly #clock: EngineClock;
  readonly #onEnd: () => void;
  #wait: { readonly cancel: () => void; over: boolean } | null = null;

  /** @param onEnd is called when a wait has taken too long. */
  constructor(clock: EngineClock, onEnd: () => void) {
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  /** True while work that is late is to be waited for; a wait begins with the first call and ends when none is late. */
  waits(isLate: boolean): boolean {
    if (!isLate) {
      this.end();
      return false;
    }
    if (this.#wait === null) {
      const wait = {
        over: false,
        cancel: this.#clock.afterWallMs(REAL_WORK_PATIENCE_MS, () => {
          wait.over = true;
          this.#onEnd();
        }),
      };
      this.#wait = wait;
    }
    return !this.#wait.over;
  }

  end(): void {
    this.#wait?.cancel();
    this.#wait = null;
  }
}

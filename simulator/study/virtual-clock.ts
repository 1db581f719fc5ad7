import type { EngineClock } from '../engine/engine-clock.js';

interface Event {
  readonly time: number;
  readonly callback: () => void;
}

/** Simulated time that jumps from event to event, so that hours of serving take milliseconds of test. */
export class VirtualClock implements EngineClock {
  #now = 0;
  #wake: Event | null = null;
  #events: Event[] = [];

  now(): number {
    return this.#now;
  }

  preparationSeconds(): number {
    return 0;
  }

  leadSeconds(): number {
    return 0;
  }

  idleUntil(): void {}

  wakeAt(time: number, callback: () => void): void {
    this.#wake = { time, callback };
  }

  cancelWake(): void {
    this.#wake = null;
  }

  /** Real work takes no time here. */
  afterWallMs(): () => void {
    return () => undefined;
  }

  /** An event of the test's own; events of equal time run in the order they were asked for. */
  at(time: number, callback: () => void): void {
    const event = { time: Math.max(time, this.#now), callback };
    const before = this.#events.findIndex((other) => other.time > event.time);
    if (before < 0) this.#events.push(event);
    else this.#events.splice(before, 0, event);
  }

  /** Runs until nothing is due any more. */
  async run(): Promise<void> {
    for (;;) {
      // Answers of the connector are promises: let them settle before time moves on.
      await new Promise((resolve) => setImmediate(resolve));
      const next = this.#events[0];
      const wake = this.#wake;
      if (wake !== null && (next === undefined || wake.time <= next.time)) {
        this.#wake = null;
        this.#now = Math.max(this.#now, wake.time);
        wake.callback();
      } else if (next !== undefined) {
        this.#events.shift();
        this.#now = Math.max(this.#now, next.time);
        next.callback();
      } else return;
    }
  }
}

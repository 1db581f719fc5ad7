import type { RealTimeClock } from '../clock.js';
import type { EngineClock } from './engine-clock.js';

/** Node's timers fire up to about this much late; the rest of a wait is spent in short naps. */
const TIMER_SLACK_MS = 1.6;
/** Short enough for the event loop to serve requests in between, long enough to leave the CPU to others. */
const NAP_MS = 0.1;
/** By how much a nap overshoots (the kernel's timer slack and the wake-up itself): the rest of a wait is polled. */
const NAP_OVERSHOOT_MS = 0.15;
/** What a first token's event and its way into the kernel take (0.34 ms measured, from the wake-up to the write's end). */
const SENDING_MS = 0.3;
/** A wake-up this near is due. */
const DUE_MS = 0.005;

/**
 * Wakes the engine at simulated times, to a fraction of a wall millisecond: a timer for the bulk of the wait,
 * then naps of 0.1 ms with the event loop running in between. Nothing runs while no wake-up is asked for.
 */
export class Pacer implements EngineClock {
  readonly #clock: RealTimeClock;
  readonly #nap = new Int32Array(new SharedArrayBuffer(4));
  #target = Number.NaN;
  #callback: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;

  constructor(clock: RealTimeClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  get sendingSeconds(): number {
    return (SENDING_MS / 1000) * this.#clock.speed;
  }

  wakeAt(simulatedTime: number, callback: () => void): void {
    this.cancelWake();
    this.#target = simulatedTime;
    this.#callback = callback;
    this.#arm();
  }

  cancelWake(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#timer = null;
    this.#immediate = null;
    this.#callback = null;
  }

  afterWallMs(wallMs: number, callback: () => void): () => void {
    const timer = setTimeout(callback, wallMs);
    return () => clearTimeout(timer);
  }

  /** The clock's speed has changed: the wait is computed anew. */
  rearm(): void {
    if (this.#callback !== null) this.wakeAt(this.#target, this.#callback);
  }

  readonly #arm = (): void => {
    this.#timer = null;
    const waitMs = this.#clock.wallMsUntil(this.#target);
    if (waitMs >= TIMER_SLACK_MS + 1) this.#timer = setTimeout(this.#arm, Math.floor(waitMs - TIMER_SLACK_MS));
    else this.#immediate = setImmediate(this.#poll);
  };

  readonly #poll = (): void => {
    const waitMs = this.#clock.wallMsUntil(this.#target);
    if (waitMs <= DUE_MS) {
      const callback = this.#callback;
      this.#immediate = null;
      this.#callback = null;
      callback?.();
      return;
    }
    const napMs = Math.min(waitMs - NAP_OVERSHOOT_MS, NAP_MS);
    if (napMs > 0) Atomics.wait(this.#nap, 0, 0, napMs);
    this.#immediate = setImmediate(this.#poll);
  };
}

import { performance } from 'node:perf_hooks';
import type { RealTimeClock } from '../clock.js';
import { collectYoungGeneration } from '../young-generation.js';
import type { EngineClock } from './engine-clock.js';

/** Node's timers fire up to about this much late; the rest of a wait is spent in short naps. */
const TIMER_SLACK_MS = 1.6;
/** Short enough for the event loop to serve requests in between, long enough to leave the CPU to others. */
const NAP_MS = 0.1;
/** By how much a nap overshoots (the kernel's timer slack and the wake-up itself): the rest of a wait is polled. */
const NAP_OVERSHOOT_MS = 0.15;
/** A turn of the event loop that takes longer than this between two naps had something to do, and may have more. */
const IDLE_TURN_MS = 0.08;
/** What the end of a step and the events of its tokens take, until they could leave, with room for a collection of garbage. */
const PREPARATION_MS = 1.5;
const PREPARATION_MS_PER_TOKEN = 0.015;
/** What the first token's way into the kernel takes, and half of what each takes that follows. */
const FIRST_SENDING_MS = 0.03;
const HALF_SENDING_MS = 0.0065;
/** No token leaves earlier than this before its time. */
const LONGEST_LEAD_MS = 0.5;
/** A collection of the young generation takes less. */
const COLLECTION_MS = 2;
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
  #lastPollAt = 0;

  constructor(clock: RealTimeClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  preparationSeconds(tokens: number): number {
    return ((PREPARATION_MS + tokens * PREPARATION_MS_PER_TOKEN) / 1000) * this.#clock.speed;
  }

  leadSeconds(tokens: number): number {
    const leadMs = Math.min(LONGEST_LEAD_MS, FIRST_SENDING_MS + (tokens - 1) * HALF_SENDING_MS);
    return (leadMs / 1000) * this.#clock.speed;
  }

  idleUntil(simulatedTime: number): void {
    if (this.#clock.wallMsUntil(simulatedTime) > COLLECTION_MS) collectYoungGeneration();
  }

  wakeAt(simulatedTime: number, callback: () => void): void {
    if (callback === this.#callback && simulatedTime === this.#target) return;
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
    const callback = this.#callback;
    if (callback === null) return;
    this.cancelWake();
    this.wakeAt(this.#target, callback);
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
    const isIdle = performance.now() - this.#lastPollAt < IDLE_TURN_MS;
    if (isIdle && napMs > 0) Atomics.wait(this.#nap, 0, 0, napMs);
    this.#lastPollAt = performance.now();
    this.#immediate = setImmediate(this.#poll);
  };
}

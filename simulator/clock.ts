import { performance } from 'node:perf_hooks';
import type { SimulatedClock } from './contracts.js';

/** Simulated time that runs `speed` times as fast as the wall clock, from 0 at its creation. */
export class RealTimeClock implements SimulatedClock {
  #speed: number;
  #wallOrigin = performance.now();
  #simulatedOrigin = 0;

  /** @param speed simulated seconds per wall second. */
  constructor(speed: number) {
    this.#speed = speed;
  }

  get speed(): number {
    return this.#speed;
  }

  now(): number {
    return this.#simulatedOrigin + ((performance.now() - this.#wallOrigin) / 1000) * this.#speed;
  }

  /** Wall milliseconds until a simulated time; negative when it has passed. */
  wallMsUntil(simulatedTime: number): number {
    return this.#wallOrigin + ((simulatedTime - this.#simulatedOrigin) / this.#speed) * 1000 - performance.now();
  }

  /** Changes the pace from now on; simulated time itself does not jump. */
  setSpeed(speed: number): void {
    this.#simulatedOrigin = this.now();
    this.#wallOrigin = performance.now();
    this.#speed = speed;
  }
}

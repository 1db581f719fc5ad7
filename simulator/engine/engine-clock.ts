import type { SimulatedClock } from '../contracts.js';

/** Time as the engine loop needs it; the real one is the pacer, tests inject a virtual one. */
export interface EngineClock extends SimulatedClock {
  /** Simulated seconds that it really takes to make so many tokens ready to leave. */
  preparationSeconds(tokens: number): number;
  /**
   * Simulated seconds before a step's time from which on so many tokens leave. They leave one after the other, so that half
   * of them are then as much too early as the others are too late.
   */
  leadSeconds(tokens: number): number;
  /** Nothing is to be done until then. */
  idleUntil(simulatedTime: number): void;
  /** Calls back once, as soon as `now()` has reached the simulated time; replaces the wake-up asked for before. */
  wakeAt(simulatedTime: number, callback: () => void): void;
  cancelWake(): void;
  /** Calls back after wall milliseconds, for limits on real work; returns how to cancel it. */
  afterWallMs(wallMs: number, callback: () => void): () => void;
}

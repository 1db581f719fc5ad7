import type { EngineClock } from './engine-clock.js';
import type { EngineListener, StepReport } from './engine-listener.js';
import type { Sequence } from './sequence.js';

/** A step that has ended, and whose tokens are ready. */
interface EndedStep {
  readonly report: StepReport;
  /** When the first of them leaves. */
  readonly dueAt: number;
}

/**
 * Gives the tokens of steps to the listener: made ready ahead of their time, because the real work is a part of simulated
 * time and not on top of it, and let go when their time has come.
 */
export class Delivery {
  readonly #clock: EngineClock;
  readonly #listener: EngineListener;
  /** From the end of a step until clients see its tokens. */
  readonly #deliverySeconds: number;
  #ended: EndedStep | null = null;

  constructor(clock: EngineClock, listener: EngineListener, deliverySeconds: number) {
    this.#clock = clock;
    this.#listener = listener;
    this.#deliverySeconds = deliverySeconds;
  }

  /** Simulated time from which on a step of so many sequences may be given to `prepare`. */
  beginAt(endsAt: number, sequences: number): number {
    return this.#dueAt(endsAt, sequences) - this.#clock.preparationSeconds(sequences);
  }

  /** Makes the tokens that `sampled` got in a step ready. */
  prepare(sampled: readonly Sequence[], endsAt: number): void {
    const first: Sequence[] = [];
    const later: Sequence[] = [];
    let promptTokens = 0;
    for (const sequence of sampled) {
      if (!Number.isNaN(sequence.times.firstToken)) {
        later.push(sequence);
        continue;
      }
      sequence.times.firstToken = endsAt;
      promptTokens += sequence.promptIds.length - sequence.cachedTokens;
      first.push(sequence);
    }
    // Sending takes real time, which a first token can spare least.
    for (const sequence of [...first, ...later]) {
      this.#listener.onToken(sequence, endsAt);
      sequence.times.lastToken = endsAt;
    }
    const report = { at: endsAt, promptTokens, generatedTokens: sampled.length };
    this.#ended = { report, dueAt: this.#dueAt(endsAt, sampled.length) };
  }

  /** When the tokens that are ready leave; null when there are none. */
  get dueAt(): number | null {
    return this.#ended?.dueAt ?? null;
  }

  /** Lets them go. False when they are so late that the event loop must have a turn before the next step. */
  release(): boolean {
    if (this.#ended === null) return true;
    const { report, dueAt } = this.#ended;
    this.#ended = null;
    this.#listener.onStep(report);
    // One that cannot keep up would leave the event loop no time to see that a client has gone.
    return this.#clock.now() - dueAt <= this.#clock.preparationSeconds(report.generatedTokens);
  }

  #dueAt(endsAt: number, tokens: number): number {
    return endsAt + this.#deliverySeconds - this.#clock.leadSeconds(tokens);
  }
}

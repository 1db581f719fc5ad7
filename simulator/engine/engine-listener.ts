import type { Sequence } from './sequence.js';

/** What one step of the engine brought. */
export interface StepReport {
  /** Simulated time at which the step ended. */
  readonly at: number;
  /** Prompt tokens computed for sequences that got their first token, and tokens generated. */
  readonly promptTokens: number;
  readonly generatedTokens: number;
}

/** Who hears what the engine does. */
export interface EngineListener {
  /** A sequence got a token (the last of `outputIds`), or ended. Nobody may see it before `onStep` follows. */
  onToken(sequence: Sequence, at: number): void;
  /** The tokens of a step are due: clients see them from now on. */
  onStep(report: StepReport): void;
  /** The cache tier has said how many tokens of a sequence it holds. */
  onLookup?(sequence: Sequence, hitTokens: number): void;
  /** The cache tier is gone with tokens it had promised, and the sequence is to end with an error: `finish` does it. */
  onLoadFailed?(sequence: Sequence, lostTokens: number): void;
  /** The engine cannot go on. */
  onFatal(error: unknown): void;
}

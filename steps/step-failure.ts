import type { FailureCause, FailureReason } from '../results-schema/step-result.js';

export interface StepFailureDetails {
  readonly reason: FailureReason;
  /** How it ended. */
  readonly failureCause: FailureCause;
  /** Lines that prove it. */
  readonly evidence?: readonly string[];
  /** The original error. */
  readonly cause?: unknown;
}

/** An expected failure somewhere inside a step: the step returns it as its result. */
export class StepFailure extends Error {
  override readonly name = 'StepFailure';
  readonly reason: FailureReason;
  readonly failureCause: FailureCause;
  readonly evidence: readonly string[];

  constructor(message: string, details: StepFailureDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = details.reason;
    this.failureCause = details.failureCause;
    this.evidence = details.evidence ?? [];
  }
}

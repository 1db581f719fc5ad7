import type { FailureCause, FailureReason } from './step-result.js';

export interface FailureDetails {
  /** Who is to blame. */
  readonly reason: FailureReason;
  /** How it ended. */
  readonly failureCause: FailureCause;
  /** Lines that prove it: a log tail, the port's owner, each GPU with its users. */
  readonly evidence?: readonly string[];
  /** The original error. */
  readonly cause?: unknown;
}

/** A failure that was to be reckoned with: it becomes a step's result, not a bug report. */
export class ExpectedFailure extends Error {
  readonly reason: FailureReason;
  readonly failureCause: FailureCause;
  readonly evidence: readonly string[];

  constructor(message: string, details: FailureDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = details.reason;
    this.failureCause = details.failureCause;
    this.evidence = details.evidence ?? [];
  }
}

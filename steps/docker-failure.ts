import { DockerError, type DockerErrorKind, failureCauseOf } from '../docker/errors.js';
import type { BuildFailure, BuildFailureKind } from '../docker/image-build.js';
import type { FailureCause, StepResult } from '../results-schema/step-result.js';

const causes: Readonly<Record<DockerErrorKind | BuildFailureKind, FailureCause>> = {
  ...failureCauseOf,
  'build-failed': 'build-failed',
  'context-unreadable': 'build-failed',
  'not-tagged': 'build-failed',
};

/** A step's result out of what Docker failed with. Other errors are bugs and thrown again. */
export function dockerFailure(error: unknown): StepResult {
  if (!(error instanceof DockerError)) throw error;
  return failed(error.kind, error.message, []);
}

/** A failed build, with the step that failed and its last lines. */
export function buildFailure(failure: BuildFailure, tag: string, logPath: string): StepResult {
  const step = failure.step === null ? '' : ` in step "${failure.step}"`;
  return failed(failure.kind, `The image "${tag}" could not be built${step}: ${failure.message}`, [
    ...failure.lastLines,
    `full output: ${logPath}`,
  ]);
}

function failed(kind: DockerErrorKind | BuildFailureKind, message: string, evidence: string[]): StepResult {
  return {
    outcome: 'failed',
    reason: kind === 'aborted' ? 'cancelled' : 'infrastructure',
    cause: causes[kind],
    message,
    evidence,
    verdicts: [],
  };
}

import { ExpectedFailure, type FailureDetails } from '../results-schema/expected-failure.js';

/** `reason` is `infrastructure` unless said otherwise. */
type EngineStartFailure = Omit<FailureDetails, 'reason'> & Partial<Pick<FailureDetails, 'reason'>>;

/** An engine, or what it needs (GPU, port, image, daemon), could not be had: an expected failure. */
export class EngineStartError extends ExpectedFailure {
  override readonly name = 'EngineStartError';

  constructor(message: string, failure: EngineStartFailure) {
    super(message, { reason: 'infrastructure', ...failure });
  }
}

/** Something of a run lives on, and this process cannot end it; the message names it. */
export class SurvivorError extends Error {
  override readonly name = 'SurvivorError';
}

/** A live run of the same BUILD_ID exists: the new one must not touch its containers or results. */
export class BuildIdTakenError extends Error {
  override readonly name = 'BuildIdTakenError';
  readonly buildId: string;

  constructor(buildId: string, owner: string) {
    super(
      `BUILD_ID "${buildId}" belongs to a live run (${owner}). Choose another BUILD_ID, or end that run: ` +
        `BUILD_ID=${buildId} lmcache-ci step cleanup`,
    );
    this.buildId = buildId;
  }
}

/** A step that stands alone found more than one run to join. */
export class SeveralLiveRunsError extends Error {
  override readonly name = 'SeveralLiveRunsError';
  readonly buildIds: readonly string[];

  constructor(runs: readonly { readonly buildId: string; readonly description: string }[]) {
    super(
      [
        `${runs.length} live runs on this machine; say which one by BUILD_ID:`,
        ...runs.map((run) => `  BUILD_ID=${run.buildId}  ${run.description}`),
      ].join('\n'),
    );
    this.buildIds = runs.map((run) => run.buildId);
  }
}

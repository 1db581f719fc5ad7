import { ExpectedFailure } from '../results-schema/expected-failure.js';

/** An expected failure somewhere inside a step: the step returns it as its result. */
export class StepFailure extends ExpectedFailure {
  override readonly name = 'StepFailure';
}

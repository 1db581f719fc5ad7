import type { RunRecord } from '../results-schema/run-record.js';
import { secrets } from '../results-schema/secrets.js';
import type { StepResult } from '../results-schema/step-result.js';
import type { ProgressState, Reporter } from './reporter.js';

/** Hides secrets in all that another reporter is told. */
export class MaskingReporter implements Reporter {
  readonly #inner: Reporter;

  constructor(inner: Reporter) {
    this.#inner = inner;
  }

  start(header: readonly string[]): void {
    this.#inner.start(secrets.hideIn(header));
  }

  stepStarted(name: string, title: string): void {
    this.#inner.stepStarted(name, title);
  }

  log(step: string | null, message: string): void {
    this.#inner.log(step, secrets.hide(message));
  }

  warn(step: string | null, message: string): void {
    this.#inner.warn(step, secrets.hide(message));
  }

  progress(step: string, state: ProgressState): void {
    this.#inner.progress(step, secrets.hideIn(state));
  }

  stepFinished(name: string, title: string, result: StepResult, durationSeconds: number): void {
    this.#inner.stepFinished(name, title, secrets.hideIn(result), durationSeconds);
  }

  finish(record: RunRecord, summary: string): void {
    this.#inner.finish(record, secrets.hide(summary));
  }
}

import type { RunRecord } from '../results-schema/run-record.js';
import type { StepResult } from '../results-schema/step-result.js';
import type { StepProgress } from '../steps/step.js';

export type ProgressState = Parameters<StepProgress['update']>[0];

/** What a person sees of a run while it goes on. Implementations: tty-reporter, plain-reporter. */
export interface Reporter {
  /** Lines before the first step: which run, where its results go, the simulator's banner. */
  start(header: readonly string[]): void;
  stepStarted(name: string, title: string): void;
  /** `step` is null for what belongs to no step. */
  log(step: string | null, message: string): void;
  warn(step: string | null, message: string): void;
  progress(step: string, state: ProgressState): void;
  stepFinished(name: string, title: string, result: StepResult, durationSeconds: number): void;
  /** The summary; nothing is printed after it. */
  finish(record: RunRecord, summary: string): void;
}

/** `prompt 12/50, TTFT 0.15 s` */
export function progressText(state: ProgressState): string {
  // Of what has no length yet there is nothing to count.
  const count = state.total ? ` ${state.done ?? 0}/${state.total}` : '';
  return `${state.task}${count}${state.figures ? `, ${state.figures}` : ''}`;
}

/** One line for a finished step. */
export function resultText(result: StepResult): string {
  switch (result.outcome) {
    case 'passed':
      return result.message ?? 'passed';
    case 'skipped':
      return `skipped: ${result.why}`;
    case 'inconclusive':
      return `inconclusive (${result.reason}): ${result.message}`;
    case 'failed':
      return `failed (${result.reason}, ${result.cause}): ${result.message}`;
  }
}

import type { RunEvent } from './events.js';
import type { StepResult } from './step-result.js';

/** A step of a run that was cut off, told from its events. */
export interface StepHistory {
  readonly name: string;
  readonly title: string;
  /** ISO 8601. */
  readonly startedAt: string;
  /** null: it was cut off. */
  readonly end: { readonly durationSeconds: number; readonly result: StepResult } | null;
}

/** The last try of every step that has begun, in the order in which they began first. */
export function stepHistory(events: readonly RunEvent[]): readonly StepHistory[] {
  const steps = new Map<string, StepHistory>();
  for (const event of events) {
    if (event.type === 'step-started') {
      steps.set(event.step, { name: event.step, title: event.title, startedAt: event.at, end: null });
    }
    const begun = event.type === 'step-finished' ? steps.get(event.step) : undefined;
    if (event.type === 'step-finished' && begun) {
      steps.set(event.step, { ...begun, end: { durationSeconds: event.durationSeconds, result: event.result } });
    }
  }
  return [...steps.values()];
}

/** Whether a result says something of the code under test, so that asking again would only be asking until it passes. */
export function isSettled(result: StepResult): boolean {
  if (result.outcome === 'passed' || result.outcome === 'skipped') return true;
  return (
    result.outcome === 'failed' &&
    (result.reason === 'regression' || result.reason === 'incorrect-output' || result.reason === 'cache-not-exercised')
  );
}

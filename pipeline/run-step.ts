import { EngineStartError } from '../engines/errors.js';
import type { StepRecord } from '../results-schema/run-record.js';
import type { StepResult } from '../results-schema/step-result.js';
import type { Step } from '../steps/step.js';
import { StepFailure } from '../steps/step-failure.js';
import { InterruptedError } from './interruption.js';
import { type Run, stepContext } from './run.js';

/** Runs one step to its result, whatever it throws, and records it in events and on screen. */
export async function runStep(run: Run, step: Step, signal: AbortSignal): Promise<StepRecord> {
  const startedAt = new Date();
  const started = performance.now();
  run.events.append({ type: 'step-started', step: step.name, title: step.title });
  run.reporter.stepStarted(step.name, step.title);
  const result = await resultOf(run, step, signal);
  const durationSeconds = (performance.now() - started) / 1000;
  run.events.append({ type: 'step-finished', step: step.name, durationSeconds, result });
  run.reporter.stepFinished(step.name, step.title, result, durationSeconds);
  return {
    name: step.name,
    title: step.title,
    kind: step.kind,
    startedAt: startedAt.toISOString(),
    durationSeconds,
    result,
  };
}

async function resultOf(run: Run, step: Step, signal: AbortSignal): Promise<StepResult> {
  try {
    if (signal.aborted) throw signal.reason;
    return await step.run(stepContext(run, step, signal));
  } catch (error) {
    return failureOf(error, signal);
  }
}

/** What an exception says about the run: an interruption, something that could not be had, or a bug. */
export function failureOf(error: unknown, signal: AbortSignal): StepResult {
  if (signal.aborted && signal.reason instanceof InterruptedError) {
    return {
      outcome: 'failed',
      reason: 'cancelled',
      cause: 'signal',
      message: signal.reason.message,
      evidence: [],
      verdicts: [],
    };
  }
  if (error instanceof EngineStartError || error instanceof StepFailure) {
    const { reason, failureCause, message, evidence } = error;
    return { outcome: 'failed', reason, cause: failureCause, message, evidence: [...evidence], verdicts: [] };
  }
  const isError = error instanceof Error;
  return {
    outcome: 'failed',
    reason: 'unknown',
    cause: 'exception',
    message: isError ? `${error.name}: ${error.message}` : String(error),
    evidence: isError && error.stack ? error.stack.split('\n').slice(1, 8) : [],
    verdicts: [],
  };
}

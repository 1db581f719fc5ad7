import { setMaxListeners } from 'node:events';
import { isDiskFull } from '../results-schema/disk-full.js';
import { ExpectedFailure } from '../results-schema/expected-failure.js';
import type { StepRecord } from '../results-schema/run-record.js';
import type { StepResult } from '../results-schema/step-result.js';
import type { Step } from '../steps/step.js';
import { InterruptedError } from './interruption.js';
import { progressText, type Reporter } from './reporter.js';
import { type Run, stepContext } from './run.js';
import { settingValues } from './run-plan.js';
import { settlesWithin } from './settles-within.js';
import { describeStuckStep } from './stuck-step.js';

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
  if (signal.aborted) return failureOf(signal.reason, signal);
  const limitSeconds = Number(settingValues(run.plan.settings)[limitSetting[step.kind]]);
  const over = new AbortController();
  const done = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  setMaxListeners(0, both);
  let lastSeen: string | null = null;
  const watched: Run = { ...run, reporter: listeningReporter(run.reporter, (text) => (lastSeen = text)) };
  const work = step
    .run(stepContext(watched, step, both))
    .catch((error: unknown): StepResult => failureOf(error, signal));
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<StepResult>((resolve) => {
    // Node's timers end at 2^31 - 1 ms.
    timer = setTimeout(
      () => {
        // Before it is told to stop: afterwards nobody waits for anything.
        void describeStuckStep(run, lastSeen).then((evidence) => {
          if (both.aborted) return;
          over.abort(new Error(`${limitSetting[step.kind]}=${limitSeconds} is over`));
          resolve(timedOut(step, limitSeconds, evidence));
        });
      },
      Math.min(limitSeconds * 1000, 2 ** 31 - 1),
    );
  });
  // A step that does not listen must not keep an interrupted run from cleaning up.
  const ignored = new Promise<StepResult>((resolve) => {
    signal.addEventListener(
      'abort',
      () => void settlesWithin(work, stopGraceMs).then((ended) => ended || resolve(failureOf(signal.reason, signal))),
      { once: true, signal: done.signal },
    );
  });
  // A cache server that is gone may cost its engine no request, only minutes: nothing is measured any more.
  const engineDied = new Promise<StepResult>((resolve) => {
    if (step.kind !== 'test') return;
    void run.fleet.untilUnexpectedExit(done.signal).then(async (death) => {
      if (death === null || (await settlesWithin(work, lastWordsMs)) || both.aborted) return;
      const { deadEngineResult } = await import('../steps/engine-guard.js');
      const result = await deadEngineResult(run.fleet, death, null);
      if (both.aborted) return;
      over.abort(new Error(`the ${death.role} engine has died`));
      resolve(result);
    });
  });
  try {
    const result = await Promise.race([work, timeUp, ignored, engineDied]);
    if (over.signal.aborted) await settlesWithin(work, stopGraceMs);
    return result;
  } finally {
    clearTimeout(timer);
    done.abort();
  }
}

/** A test whose engine has died may end by itself, and say more than we can. */
const lastWordsMs = 1500;
/** Time to end for a step that was told to: its children get 5 s after SIGTERM. */
export const stopGraceMs = 15_000;

const limitSetting = {
  setup: 'SETUP_TIMEOUT_SECONDS',
  test: 'TEST_TIMEOUT_SECONDS',
  cleanup: 'CLEANUP_TIMEOUT_SECONDS',
} as const;

/** Setting up is the machine's work; why a test hangs, the code under test or the machine, is not known. */
function timedOut(step: Step, limitSeconds: number, evidence: readonly string[]): StepResult {
  return {
    outcome: 'failed',
    reason: step.kind === 'test' ? 'unknown' : 'infrastructure',
    cause: 'timeout',
    message: `"${step.name}" was not done after ${limitSetting[step.kind]}=${limitSeconds}; ${evidence[0] ?? ''}`,
    evidence: [...evidence],
    verdicts: [],
  };
}

/** Passes everything on and hears what the step last said it does. */
function listeningReporter(reporter: Reporter, hear: (text: string) => void): Reporter {
  return {
    start: (header) => reporter.start(header),
    stepStarted: (name, title) => reporter.stepStarted(name, title),
    log: (step, message) => reporter.log(step, message),
    warn: (step, message) => reporter.warn(step, message),
    progress: (step, state) => {
      hear(progressText(state));
      reporter.progress(step, state);
    },
    stepFinished: (...args) => reporter.stepFinished(...args),
    finish: (...args) => reporter.finish(...args),
  };
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
  if (error instanceof ExpectedFailure) {
    const { reason, failureCause, message, evidence } = error;
    return { outcome: 'failed', reason, cause: failureCause, message, evidence: [...evidence], verdicts: [] };
  }
  const isError = error instanceof Error;
  if (isDiskFull(error)) {
    return {
      outcome: 'failed',
      reason: 'infrastructure',
      cause: 'disk',
      message: `The disk is full: ${error.message}. Free space, or choose another RESULTS_DIR.`,
      evidence: [],
      verdicts: [],
    };
  }
  return {
    outcome: 'failed',
    reason: 'unknown',
    cause: 'exception',
    message: isError ? `${error.name}: ${error.message}` : String(error),
    evidence: isError && error.stack ? error.stack.split('\n').slice(1, 8) : [],
    verdicts: [],
  };
}

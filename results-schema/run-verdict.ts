import { z } from 'zod';
import { type InterruptSignal, interruptExitCodes } from './interrupt-signals.js';
import { type FailureReason, failureCauseSchema, failureReasonSchema, type StepResult } from './step-result.js';

/** What a whole run came to. `step` is the name of the step that decided it, null where none did. */
export const runVerdictSchema = z.discriminatedUnion('outcome', [
  z.object({ outcome: z.literal('passed'), exitCode: z.literal(0), message: z.string() }),
  z.object({
    outcome: z.literal('failed'),
    exitCode: z.union([z.literal(1), z.literal(2), z.literal(3)]),
    reason: failureReasonSchema,
    cause: failureCauseSchema,
    step: z.string().nullable(),
    message: z.string(),
  }),
  z.object({
    outcome: z.literal('inconclusive'),
    exitCode: z.literal(3),
    reason: z.enum(['client-overloaded', 'too-few-samples', 'noise']),
    step: z.string().nullable(),
    message: z.string(),
  }),
  z.object({
    outcome: z.literal('interrupted'),
    exitCode: z.union([z.literal(129), z.literal(130), z.literal(143)]),
    signal: z.enum(['SIGHUP', 'SIGINT', 'SIGTERM']),
    step: z.string().nullable(),
    message: z.string(),
  }),
]);
export type RunVerdict = z.infer<typeof runVerdictSchema>;

const exitCodeOfReason: Readonly<Record<Exclude<FailureReason, 'cancelled'>, 1 | 2 | 3>> = {
  regression: 1,
  'incorrect-output': 1,
  'cache-not-exercised': 1,
  configuration: 2,
  infrastructure: 3,
  unknown: 3,
};

/** From best to worst: passed, no verdict, regression, usage, interrupted. */
const severity: Readonly<Record<number, number>> = { 0: 0, 3: 1, 1: 2, 2: 3, 129: 4, 130: 4, 143: 4 };

/**
 * The worst of a run's steps, the first one where several are equally bad.
 * Exit codes: 0 passed; 1 the code under test failed; 2 usage or configuration; 3 no verdict
 * (infrastructure, inconclusive, unknown); 129, 130, 143 interrupted by SIGHUP, SIGINT, SIGTERM.
 * @param interruptedBy the signal that ended the run, null when none did
 */
export function judgeRun(
  steps: readonly { readonly name: string; readonly result: StepResult }[],
  interruptedBy: InterruptSignal | null,
): RunVerdict {
  let worst: RunVerdict | null =
    interruptedBy === null ? null : interrupted(interruptedBy, lastCancelled(steps)?.name ?? null);
  for (const { name, result } of steps) {
    const verdict = verdictOfStep(name, result);
    if (verdict !== null && (worst === null || rank(verdict) > rank(worst))) worst = verdict;
  }
  return worst ?? { outcome: 'passed', exitCode: 0, message: passedMessage(steps) };
}

/**
 * A run's verdict after another command of it: what an earlier one's steps came to does not pass because a later one's
 * (cleanup, say) did.
 * @param own the verdict on that command's own steps
 * @param steps all steps of the run, each as it came to last
 */
export function judgeWhole(
  own: RunVerdict,
  steps: readonly { readonly name: string; readonly result: StepResult }[],
): RunVerdict {
  return own.outcome === 'interrupted' ? own : judgeRun(steps, null);
}

function rank(verdict: RunVerdict): number {
  return severity[verdict.exitCode] ?? 0;
}

function lastCancelled(steps: readonly { readonly name: string; readonly result: StepResult }[]) {
  return steps.findLast(({ result }) => result.outcome === 'failed' && result.reason === 'cancelled');
}

function interrupted(signal: InterruptSignal, step: string | null): RunVerdict {
  const where = step === null ? '' : ` during "${step}"`;
  return {
    outcome: 'interrupted',
    exitCode: interruptExitCodes[signal],
    signal,
    step,
    message: `interrupted by ${signal}${where}`,
  };
}

function verdictOfStep(step: string, result: StepResult): RunVerdict | null {
  switch (result.outcome) {
    case 'passed':
    case 'skipped':
      return null;
    case 'inconclusive':
      return { outcome: 'inconclusive', exitCode: 3, reason: result.reason, step, message: result.message };
    case 'failed': {
      if (result.reason === 'cancelled') return interrupted('SIGINT', step);
      const { reason, cause, message } = result;
      return { outcome: 'failed', exitCode: exitCodeOfReason[reason], reason, cause, step, message };
    }
  }
}

function passedMessage(steps: readonly { readonly result: StepResult }[]): string {
  const passed = steps.filter(({ result }) => result.outcome === 'passed').length;
  const skipped = steps.length - passed;
  return `${passed} ${passed === 1 ? 'step' : 'steps'} passed${skipped === 0 ? '' : `, ${skipped} skipped`}`;
}

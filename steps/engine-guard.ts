import { setTimeout as delay } from 'node:timers/promises';
import { classifyEngineEnd } from '../engines/blame.js';
import { describeExit } from '../engines/describe-exit.js';
import type { Fleet, UnexpectedExit } from '../engines/fleet.js';
import { connectionRefused } from '../engines/probe-error.js';
import { probe } from '../engines/readiness.js';
import type { FailureCause, FailureReason, StepResult } from '../results-schema/step-result.js';
import { ServerAnswerError, ServerUnreachableError } from '../workloads/server-api.js';
import type { StepContext } from './step.js';
import { StepFailure } from './step-failure.js';

type GuardContext = Pick<StepContext<unknown>, 'fleet' | 'signal'>;

/** A dead engine may be noticed a little after its last answer. */
const noticeLimitMs = 1000;
/**
 * A killed LMCache server with 80 GB of pinned memory was seen to refuse connections for 7 s before its process was gone: the
 * kernel gives the memory back first.
 */
const endingLimitMs = 20_000;
const noticePauseMs = 50;
/** What broke an engine often stands far above its last words. */
const judgedLogLines = 400;
const shownLogLines = 50;

/**
 * Runs a test and looks at what else may explain its failure: when an engine has died meanwhile, that is
 * the result, with the end of its log, whatever the test made of it.
 */
export async function judgeWithEngines(context: GuardContext, test: () => Promise<StepResult>): Promise<StepResult> {
  const result = await runTest(context, test);
  const died = await findDeadEngine(context, looksUnanswered(result) ? noticeLimitMs : 0);
  if (died === null) {
    return (await blameHungEngine(context, result)) ?? result;
  }
  return deadEngineResult(context.fleet, died, result);
}

/**
 * What a test comes to in which an engine has died: that, with the end of its log.
 * @param made what the test itself came to; null when it was not waited for
 */
export async function deadEngineResult(
  fleet: Pick<Fleet, 'logTail'>,
  { exit, logTail, name, role }: UnexpectedExit,
  made: StepResult | null,
): Promise<StepResult> {
  const longTail = await fleet.logTail(role, judgedLogLines);
  const blame = classifyEngineEnd(longTail.length > logTail.length ? longTail : logTail, exit);
  const why = blame.evidence === null ? '' : `: ${blame.evidence}`;
  const told = made?.outcome === 'failed' || made?.outcome === 'inconclusive' ? `\n${made.message}` : '';
  return {
    outcome: 'failed',
    reason: blame.reason,
    cause: blame.cause,
    message: `The ${role} engine "${name}" died during the test: ${describeExit(exit)}${why}.${told}`,
    evidence: [...logTail, ...(made?.outcome === 'failed' ? made.evidence : [])],
    verdicts: made === null || made.outcome === 'skipped' ? [] : made.verdicts,
  };
}

/**
 * A miss of a server that hangs says nothing about its code: whether machine or code holds it is not known.
 * Wrong answers stay wrong.
 */
async function blameHungEngine({ fleet, signal }: GuardContext, result: StepResult): Promise<StepResult | null> {
  if (result.outcome !== 'failed' || (result.reason !== 'regression' && result.reason !== 'cache-not-exercised')) {
    return null;
  }
  for (const role of ['lmcache', 'vllm', 'baseline'] as const) {
    const endpoint = fleet.find(role);
    if (endpoint === null) continue;
    const url = `${endpoint.baseUrl}${role === 'lmcache' ? '/healthcheck' : '/health'}`;
    const { ready, answer } = await probe({ kind: 'http', url }, signal);
    // Any HTTP answer is one; older servers have no such path.
    if (ready || answer.startsWith('HTTP')) continue;
    return {
      ...result,
      reason: 'unknown',
      cause: 'engine-unreachable',
      message: `The ${role} engine does not answer any more (${answer}).\n${result.message}`,
      evidence: [...(await fleet.logTail(role, shownLogLines)), ...result.evidence],
    };
  }
  return null;
}

async function runTest(context: GuardContext, test: () => Promise<StepResult>): Promise<StepResult> {
  try {
    return await test();
  } catch (error) {
    context.signal.throwIfAborted();
    const failed = (reason: FailureReason, cause: FailureCause, evidence: readonly string[] = []): StepResult => ({
      outcome: 'failed',
      reason,
      cause,
      message: error instanceof Error ? error.message : String(error),
      evidence: [...evidence],
      verdicts: [],
    });
    if (error instanceof StepFailure) {
      return failed(error.reason, error.failureCause, error.evidence);
    }
    if (error instanceof ServerUnreachableError) {
      return failed('infrastructure', 'engine-unreachable');
    }
    if (error instanceof ServerAnswerError) {
      return failed('unknown', 'request-failed');
    }
    throw error;
  }
}

function looksUnanswered(result: StepResult): boolean {
  return result.outcome === 'failed' && (result.cause === 'request-failed' || result.cause === 'engine-unreachable');
}

async function findDeadEngine({ fleet, signal }: GuardContext, limitMs: number): Promise<UnexpectedExit | null> {
  const started = performance.now();
  let endsAt = started + limitMs;
  for (;;) {
    const died = await fleet.unexpectedExit();
    if (died !== null) return died;
    if (performance.now() >= endsAt) {
      const mayWait = limitMs > 0 && endsAt < started + endingLimitMs;
      if (!mayWait || !(await someEngineRefuses({ fleet, signal }))) return null;
      endsAt = started + endingLimitMs;
    }
    await delay(noticePauseMs, undefined, { signal });
  }
}

/** Nobody listens any more where an engine served: it is about to end. */
async function someEngineRefuses({ fleet, signal }: GuardContext): Promise<boolean> {
  for (const role of ['lmcache', 'vllm', 'baseline'] as const) {
    const endpoint = fleet.find(role);
    // The end of a server that is not ours is never told.
    if (endpoint === null || endpoint.logPath === null) continue;
    const { answer } = await probe({ kind: 'http', url: endpoint.baseUrl }, signal);
    if (answer === connectionRefused) return true;
  }
  return false;
}

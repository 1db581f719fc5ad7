import { classifyEngineEnd } from '../engines/blame.js';
import { describeExit } from '../engines/describe-exit.js';
import type { Fleet, UnexpectedExit } from '../engines/fleet.js';
import type { EngineRole } from '../engines/launch-spec.js';
import type { StepResult, Verdict } from '../results-schema/step-result.js';
import { defineStep, type StepContext } from './step.js';
import { StepFailure } from './step-failure.js';

const shownLogLines = 50;
/** What broke an engine often stands far above its last words. */
const judgedLogLines = 400;
const roles: readonly EngineRole[] = ['lmcache', 'vllm', 'baseline'];

/** Waits until all engines of the run serve, or one of them is known never to. */
export const step = defineStep({
  name: 'wait-for-vllm',
  title: 'Wait for vLLM',
  kind: 'setup',
  settings: {},
  async run(context) {
    const { fleet, settings, progress, signal } = context;
    const expected = roles.filter((role) => fleet.find(role) !== null || fleet.state(role).status !== 'unstarted');
    if (!expected.includes('vllm')) {
      throw new StepFailure('There is no vLLM to wait for: launch it first (npx zx steps/launch-containers.mjs).', {
        reason: 'configuration',
        failureCause: 'engine-unreachable',
      });
    }
    const readiness = await fleet.waitUntilReady(expected, {
      timeoutMs: settings.MAX_WAIT_SECONDS * 1000,
      signal,
      onProgress: (waitingFor, elapsedMs) => {
        if (waitingFor.length === 0) return;
        progress.update({
          task: `waiting for ${waitingFor.join(', ')}`,
          done: expected.length - waitingFor.length,
          total: expected.length,
          figures: `${Math.round(elapsedMs / 1000)} s`,
        });
      },
    });
    switch (readiness.outcome) {
      case 'ready':
        return { outcome: 'passed', verdicts: readyTimes(readiness.readyAfterMs) };
      case 'engine-died':
        return engineDied(fleet, readiness.exit);
      case 'timeout':
        return timedOut(context, readiness.missing);
    }
  },
});

function readyTimes(readyAfterMs: Readonly<Partial<Record<EngineRole, number>>>): Verdict[] {
  return roles.flatMap((role): Verdict[] => {
    const afterMs = readyAfterMs[role];
    if (afterMs === undefined) return [];
    return [
      {
        name: `${role}_ready_after`,
        title: `${role} ready after`,
        unit: 's',
        measured: afterMs / 1000,
        comparison: null,
        threshold: null,
        marginPercent: null,
        outcome: 'reported',
      },
    ];
  });
}

async function engineDied(fleet: Fleet, { role, name, exit }: UnexpectedExit): Promise<StepResult> {
  const blame = classifyEngineEnd(await fleet.logTail(role, judgedLogLines), exit);
  const why = blame.evidence === null ? '' : `: ${blame.evidence}`;
  return {
    outcome: 'failed',
    reason: blame.reason,
    cause: blame.cause,
    message: `${name} ${describeExit(exit)} before it served${why}. ${logHint(fleet, role)}`,
    evidence: [...(await fleet.logTail(role, shownLogLines))],
    verdicts: [],
  };
}

async function timedOut(
  { fleet, settings }: StepContext<unknown>,
  missing: readonly { readonly role: EngineRole; readonly lastAnswer: string }[],
): Promise<StepResult> {
  const tails = await Promise.all(
    missing.map(async ({ role, lastAnswer }) => [
      `--- ${role}: ${lastAnswer}. ${logHint(fleet, role)}`,
      ...(await fleet.logTail(role, shownLogLines)),
    ]),
  );
  const waited = missing.map(({ role, lastAnswer }) => `${role} (${lastAnswer})`).join(', ');
  return {
    outcome: 'failed',
    reason: 'infrastructure',
    cause: 'timeout',
    message: `Not ready after MAX_WAIT_SECONDS=${settings.MAX_WAIT_SECONDS}: ${waited}. Raise it if the engines were still loading.`,
    evidence: tails.flat(),
    verdicts: [],
  };
}

function logHint(fleet: Fleet, role: EngineRole): string {
  const logPath = fleet.find(role)?.logPath;
  return logPath ? `Log: ${logPath}` : 'Its log is not ours.';
}

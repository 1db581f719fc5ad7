import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeRun, judgeWhole } from '../../results-schema/run-verdict.js';
import type { FailureReason, StepResult } from '../../results-schema/step-result.js';

const passed: StepResult = { outcome: 'passed', verdicts: [] };
const skipped: StepResult = { outcome: 'skipped', why: 'not asked for' };
const noisy: StepResult = { outcome: 'inconclusive', reason: 'noise', message: 'too fast', verdicts: [] };
const failed = (reason: FailureReason): StepResult => ({
  outcome: 'failed',
  reason,
  cause: 'threshold',
  message: `because of ${reason}`,
  evidence: [],
  verdicts: [],
});
const steps = (...results: StepResult[]) => results.map((result, index) => ({ name: `step-${index}`, result }));

describe('exit code of a run', () => {
  it.each([
    ['regression', 1],
    ['incorrect-output', 1],
    ['cache-not-exercised', 1],
    ['configuration', 2],
    ['infrastructure', 3],
    ['unknown', 3],
    ['cancelled', 130],
  ] as const)('%s is %i', (reason, exitCode) => {
    expect(judgeRun(steps(passed, failed(reason)), null).exitCode).toBe(exitCode);
  });

  it('is 0 when all passed or were skipped, and 3 when nothing could be concluded', () => {
    expect(judgeRun(steps(passed, skipped), null)).toMatchObject({ exitCode: 0, message: '1 step passed, 1 skipped' });
    expect(judgeRun(steps(passed, noisy), null)).toMatchObject({
      exitCode: 3,
      outcome: 'inconclusive',
      step: 'step-1',
    });
    expect(judgeRun([], null).exitCode).toBe(0);
  });

  it.each([
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s gives %i, and names the step it cut off', (signal, exitCode) => {
    expect(judgeRun(steps(failed('regression'), failed('cancelled')), signal)).toMatchObject({
      outcome: 'interrupted',
      exitCode,
      signal,
      step: 'step-1',
    });
  });

  it('takes the worst: interrupted, 2, 1, 3, 0, whatever the order', () => {
    const byBadness = [
      passed,
      failed('infrastructure'),
      failed('regression'),
      failed('configuration'),
      failed('cancelled'),
    ];
    const codes = [0, 3, 1, 2, 130];
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 4 }), { minLength: 1 }), (picks) => {
        const run = judgeRun(steps(...picks.map((pick) => byBadness[pick] ?? passed)), null);
        expect(run.exitCode).toBe(codes[Math.max(...picks)]);
      }),
    );
  });

  it('names the first of equally bad steps: the later ones may only be its consequence', () => {
    expect(judgeRun(steps(failed('infrastructure'), noisy, failed('unknown')), null)).toMatchObject({ step: 'step-0' });
  });
});

describe("a run's verdict after another command of it", () => {
  it('does not pass because its cleanup did: a real run whose engines were kept said so', () => {
    const all = steps(failed('regression'), passed);
    const cleanup = judgeRun(steps(passed), null);
    expect(cleanup.outcome).toBe('passed');
    expect(judgeWhole(cleanup, all)).toMatchObject({ outcome: 'failed', exitCode: 1, step: 'step-0' });
  });

  it('is that the command was interrupted, where it was', () => {
    const own = judgeRun(steps(failed('cancelled')), 'SIGTERM');
    expect(judgeWhole(own, steps(failed('regression'), failed('cancelled')))).toBe(own);
  });
});

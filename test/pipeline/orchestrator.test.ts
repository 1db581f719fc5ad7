import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { InterruptedError } from '../../pipeline/interruption.js';
import { type PipelineOptions, runSteps } from '../../pipeline/orchestrator.js';
import type { StepResult } from '../../results-schema/step-result.js';
import type { Step } from '../../steps/step.js';
import { failed, fakeRun, fakeStep, passed } from './fake-run.js';

const plain = { keep: false, keepGoing: false };
const never = new AbortController().signal;
const names = (work: { readonly steps: readonly { readonly name: string }[] }) => work.steps.map(({ name }) => name);

function pipeline(results: Readonly<Record<string, StepResult>> = {}): readonly Step[] {
  const step = (name: string, kind: Step['kind']) => fakeStep(name, kind, async () => results[name] ?? passed);
  return [
    step('build-image', 'setup'),
    step('launch-containers', 'setup'),
    step('test-a', 'test'),
    step('test-b', 'test'),
    step('cleanup', 'cleanup'),
  ];
}

describe('runSteps', () => {
  it('runs all in their order, cleanup last', async () => {
    const { run, told } = await fakeRun();
    const work = await runSteps(run, pipeline(), never, plain);
    expect(names(work)).toEqual(['build-image', 'launch-containers', 'test-a', 'test-b', 'cleanup']);
    expect(told.filter((line) => line.endsWith(' passed'))).toHaveLength(5);
  });

  it.each([
    ['a failed set-up', 'build-image', failed, plain, ['build-image', 'cleanup']],
    [
      'a failed set-up, whatever --keep-going',
      'build-image',
      failed,
      { ...plain, keepGoing: true },
      ['build-image', 'cleanup'],
    ],
    ['a failed test', 'test-a', failed, plain, ['build-image', 'launch-containers', 'test-a', 'cleanup']],
  ])('%s ends the run, but never the cleaning', async (_, name, result, options, expected) => {
    const { run } = await fakeRun();
    expect(names(await runSteps(run, pipeline({ [name]: result }), never, options))).toEqual(expected);
  });

  it.each([
    ['a failed test with --keep-going', failed, { ...plain, keepGoing: true }],
    ['an inconclusive test', { outcome: 'inconclusive', reason: 'noise', message: 'x', verdicts: [] }, plain],
    ['a skipped test', { outcome: 'skipped', why: 'x' }, plain],
  ] satisfies [string, StepResult, PipelineOptions][])('%s lets the others run', async (_, result, options) => {
    const { run } = await fakeRun();
    const work = await runSteps(run, pipeline({ 'test-a': result }), never, options);
    expect(names(work)).toEqual(['build-image', 'launch-containers', 'test-a', 'test-b', 'cleanup']);
  });

  it('cleans up after a bug in a step, and in cleanup itself says what it was', async () => {
    const { run } = await fakeRun();
    const bug = async (): Promise<StepResult> => {
      throw new TypeError('a bug');
    };
    const work = await runSteps(
      run,
      [fakeStep('test-a', 'test', bug), fakeStep('cleanup', 'cleanup', bug)],
      never,
      plain,
    );
    expect(work.steps.map(({ result }) => result)).toMatchObject([
      { outcome: 'failed', reason: 'unknown', cause: 'exception', message: 'TypeError: a bug' },
      { outcome: 'failed', reason: 'unknown', cause: 'exception' },
    ]);
  });

  it.each([false, true])('an interrupted run cleans up undisturbed (--keep: %s)', async (keep) => {
    const { run } = await fakeRun();
    const controller = new AbortController();
    const seen: boolean[] = [];
    const steps = [
      fakeStep('test-a', 'test', async ({ signal }) => {
        controller.abort(new InterruptedError('SIGTERM'));
        signal.throwIfAborted();
        return passed;
      }),
      fakeStep('test-b', 'test'),
      fakeStep('cleanup', 'cleanup', async ({ signal }) => {
        seen.push(signal.aborted);
        return passed;
      }),
    ];
    const work = await runSteps(run, steps, controller.signal, { keep, keepGoing: true });
    expect(names(work)).toEqual(['test-a', 'cleanup']);
    expect(work.steps[0]?.result).toMatchObject({
      reason: 'cancelled',
      cause: 'signal',
      message: 'Interrupted by SIGTERM.',
    });
    expect(seen).toEqual([false]);
  });

  it('--keep leaves the cleaning to somebody else, also after a failure', async () => {
    const { run } = await fakeRun();
    const work = await runSteps(run, pipeline({ 'test-a': failed }), never, { ...plain, keep: true });
    expect(names(work)).toEqual(['build-image', 'launch-containers', 'test-a']);
  });
});

describe('preparation', () => {
  /** As long as a launch that waits for something. */
  const someTurns = async () => {
    await nextTurn();
    await nextTurn();
  };

  it('begins once the launch is on its way and is over before the first test', async () => {
    const { run } = await fakeRun();
    const happened: string[] = [];
    const note = (what: string) => async () => {
      happened.push(what);
      return passed;
    };
    let finish = () => {};
    const prepared = new Promise<void>((resolve) => {
      finish = () => {
        happened.push('prepared');
        resolve();
      };
    });
    const steps = [
      fakeStep('build-image', 'setup', note('build')),
      fakeStep('launch-containers', 'setup', async () => {
        happened.push('launch');
        await someTurns();
        return passed;
      }),
      fakeStep('wait-for-vllm', 'setup', async () => {
        happened.push('wait');
        setImmediate(finish);
        return passed;
      }),
      fakeStep('test-a', 'test', note('test'), async () => {
        happened.push('prepare');
        await prepared;
      }),
    ];
    await runSteps(run, steps, never, plain);
    expect(happened).toEqual(['build', 'launch', 'prepare', 'wait', 'prepared', 'test']);
  });

  it('that fails costs only the head start: a warning, and the test runs', async () => {
    const { run, told } = await fakeRun();
    const unlucky = async () => {
      throw new Error('no disk');
    };
    const steps = [fakeStep('launch-containers', 'setup'), fakeStep('test-a', 'test', undefined, unlucky)];
    const work = await runSteps(run, steps, never, plain);
    expect(work.steps.at(-1)).toMatchObject({ name: 'test-a', result: { outcome: 'passed' } });
    expect(told).toContain('warning test-a: could not prepare ahead: Error: no disk');
  });

  it('is awaited before cleaning up, so that nothing is made behind its back', async () => {
    const { run } = await fakeRun();
    const happened: string[] = [];
    const steps = [
      fakeStep('launch-containers', 'setup', async () => {
        await someTurns();
        return failed;
      }),
      fakeStep('test-a', 'test', undefined, async () => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        happened.push('prepared');
      }),
      fakeStep('cleanup', 'cleanup', async () => {
        happened.push('cleanup');
        return passed;
      }),
    ];
    await runSteps(run, steps, never, plain);
    expect(happened).toEqual(['prepared', 'cleanup']);
  });

  it('is not begun for a launch that fails at once', async () => {
    const { run } = await fakeRun();
    let begun = false;
    const steps = [
      fakeStep('launch-containers', 'setup', async () => failed),
      fakeStep('test-a', 'test', undefined, async () => {
        begun = true;
      }),
    ];
    await runSteps(run, steps, never, plain);
    expect(begun).toBe(false);
  });
});

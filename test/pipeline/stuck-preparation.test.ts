import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { InterruptedError } from '../../pipeline/interruption.js';
import { runSteps } from '../../pipeline/orchestrator.js';
import { settlesWithin } from '../../pipeline/settles-within.js';
import { fakeRun, fakeStep } from './fake-run.js';

// Time that is given to what hangs passes quickly.
vi.mock('../../pipeline/settles-within.js', async (original) => {
  const { settlesWithin } = await original<typeof import('../../pipeline/settles-within.js')>();
  return { settlesWithin: vi.fn<typeof settlesWithin>((work, limitMs) => settlesWithin(work, Math.min(limitMs, 100))) };
});

const plain = { keep: false, keepGoing: false };

describe('a preparation that hangs and does not listen', () => {
  const steps = [
    fakeStep('launch-containers', 'setup', async () => {
      for (let turn = 0; turn < 5; turn += 1) await nextTurn();
      return { outcome: 'passed', verdicts: [] };
    }),
    fakeStep('test-a', 'test', undefined, () => new Promise(() => {})),
    fakeStep('cleanup', 'cleanup'),
  ];

  it('keeps an interrupted run from nothing: it is cleaned up', async () => {
    const { run } = await fakeRun();
    const interruption = new AbortController();
    const work = runSteps(run, steps, interruption.signal, plain);
    setTimeout(() => interruption.abort(new InterruptedError('SIGINT')), 30);
    const outcomes = (await work).steps.map(({ name, result }) => `${name} ${result.outcome}`);
    expect(outcomes).toEqual(['launch-containers passed', 'test-a failed', 'cleanup passed']);
    expect(vi.mocked(settlesWithin)).toHaveBeenLastCalledWith(expect.anything(), 15_000);
  });

  it('costs a run the time of a test, and is told', async () => {
    const { run, told } = await fakeRun();
    const work = await runSteps(run, steps, new AbortController().signal, plain);
    expect(work.steps.map(({ result }) => result.outcome)).toEqual(['passed', 'passed', 'passed']);
    expect(told.join()).toMatch(/Preparing the tests was not done after TEST_TIMEOUT_SECONDS=\d+\./);
  });
});

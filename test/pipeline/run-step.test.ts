import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { EngineStartError } from '../../engines/errors.js';
import { ExternalFleet } from '../../engines/external-fleet.js';
import type { UnexpectedExit } from '../../engines/fleet.js';
import { InterruptedError } from '../../pipeline/interruption.js';
import { failureOf, runStep } from '../../pipeline/run-step.js';
import { StepFailure } from '../../steps/step-failure.js';
import { failed, fakeRun, fakeStep, passed } from './fake-run.js';

const never = new AbortController().signal;

describe('failureOf', () => {
  it('takes blame, cause and evidence from those who know them', () => {
    expect(
      failureOf(new EngineStartError('port 1 is taken', { failureCause: 'port-taken', evidence: ['by x'] }), never),
    ).toEqual({
      outcome: 'failed',
      reason: 'infrastructure',
      cause: 'port-taken',
      message: 'port 1 is taken',
      evidence: ['by x'],
      verdicts: [],
    });
    expect(
      failureOf(new StepFailure('no Python', { reason: 'configuration', failureCause: 'tool-missing' }), never),
    ).toMatchObject({ reason: 'configuration', cause: 'tool-missing', message: 'no Python' });
  });

  it('blames nobody for a bug, and shows where it is', () => {
    const result = failureOf(new RangeError('x'), never);
    expect(result).toMatchObject({ reason: 'unknown', cause: 'exception', message: 'RangeError: x' });
    expect(result).toMatchObject({ evidence: expect.arrayContaining([expect.stringContaining('run-step.test.ts')]) });
    expect(failureOf('a text', never)).toMatchObject({ reason: 'unknown', message: 'a text', evidence: [] });
  });

  it('is a cancellation once the run is interrupted, whatever broke because of it', () => {
    const interrupted = AbortSignal.abort(new InterruptedError('SIGHUP'));
    expect(failureOf(new Error('socket hang up'), interrupted)).toMatchObject({
      reason: 'cancelled',
      cause: 'signal',
      message: 'Interrupted by SIGHUP.',
    });
  });
});

/** Servers of which one is about to die. */
class DyingFleet extends ExternalFleet {
  readonly #death: Promise<UnexpectedExit>;

  constructor(death: Promise<UnexpectedExit>) {
    super({ vllmUrl: null, baselineUrl: null, lmcacheUrl: null });
    this.#death = death;
  }

  override untilUnexpectedExit(): Promise<UnexpectedExit> {
    return this.#death;
  }
}

const death: UnexpectedExit = {
  role: 'lmcache',
  name: 'lmcache-mp-test-1',
  exit: { code: null, signal: 'SIGKILL', outOfMemory: false, at: '2026-11-22T00:00:00.000Z' },
  logTail: ['its last words'],
};

describe('an engine that dies during a test', () => {
  it('ends it, though nothing it waits for would ever end: the death is the first cause', async () => {
    const { run } = await fakeRun();
    let reason: unknown = null;
    const hangs = fakeStep('test-a', 'test', async ({ signal }) => {
      await once(signal, 'abort');
      reason = signal.reason;
      throw new Error('a later error');
    });
    const started = performance.now();
    const { result } = await runStep({ ...run, fleet: new DyingFleet(Promise.resolve(death)) }, hangs, never);
    expect(performance.now() - started).toBeLessThan(5000);
    expect(result).toMatchObject({
      outcome: 'failed',
      reason: 'infrastructure',
      cause: 'engine-died',
      message:
        'The lmcache engine "lmcache-mp-test-1" died during the test: ended by SIGKILL: ended from outside by SIGKILL.',
      evidence: ['its last words'],
    });
    expect(String(reason)).toContain('the lmcache engine has died');
  });

  it('leaves the last word to a test that ends by itself, and set-up steps alone', async () => {
    const { run } = await fakeRun();
    const dying = { ...run, fleet: new DyingFleet(Promise.resolve(death)) };
    const answers = fakeStep('test-a', 'test', async () => failed);
    expect((await runStep(dying, answers, never)).result).toEqual(failed);
    const waits = fakeStep('wait', 'setup', async ({ signal }) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(signal.aborted).toBe(false);
      return passed;
    });
    expect((await runStep(dying, waits, never)).result).toEqual(passed);
  });
});

describe('runStep', () => {
  it('brackets the step by events and tells what it came to', async () => {
    const { run, told, eventTypes } = await fakeRun();
    const step = fakeStep('test-a', 'test', async ({ progress, workload, settings }) => {
      progress.log(`model ${settings.MODEL}`);
      progress.update({ task: 'asking', done: 1, total: 2 });
      expect(await workload('ask', 'vllm', async () => 42)).toBe(42);
      return passed;
    });
    const record = await runStep(run, step, never);
    expect(record).toMatchObject({ name: 'test-a', title: 'Title of test-a', kind: 'test', result: passed });
    expect(record.durationSeconds).toBeGreaterThanOrEqual(0);
    expect(told).toEqual([
      'test-a started',
      'log test-a: model Qwen/Qwen3-14B',
      'progress test-a: asking',
      'test-a passed',
    ]);
    expect(await eventTypes()).toEqual([
      'step-started',
      'log',
      'workload-started',
      'workload-finished',
      'step-finished',
    ]);
  });

  it('notes the end of a workload that failed', async () => {
    const { run } = await fakeRun();
    const step = fakeStep('test-a', 'test', ({ workload }) =>
      workload('ask', 'vllm', () => Promise.reject(new Error('x'))),
    );
    expect(await runStep(run, step, never)).toMatchObject({ result: { outcome: 'failed', message: 'Error: x' } });
  });

  it('does not begin a step of a run that is interrupted', async () => {
    const { run } = await fakeRun();
    let ran = false;
    const step = fakeStep('test-a', 'test', async () => {
      ran = true;
      return passed;
    });
    expect(await runStep(run, step, AbortSignal.abort(new InterruptedError('SIGINT')))).toMatchObject({
      result: { reason: 'cancelled' },
    });
    expect(ran).toBe(false);
  });
});

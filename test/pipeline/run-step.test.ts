import { describe, expect, it } from 'vitest';
import { EngineStartError } from '../../engines/errors.js';
import { InterruptedError } from '../../pipeline/interruption.js';
import { failureOf, runStep } from '../../pipeline/run-step.js';
import { StepFailure } from '../../steps/step-failure.js';
import { fakeRun, fakeStep, passed } from './fake-run.js';

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

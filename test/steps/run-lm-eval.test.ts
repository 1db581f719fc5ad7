import { readdir, readFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'vitest';
import type { UnexpectedExit } from '../../engines/fleet.js';
import type { StepResult } from '../../results-schema/step-result.js';
import type { LmEvalSettingValues } from '../../steps/lm-eval/settings.js';
import { step } from '../../steps/run-lm-eval.js';
import { StepFailure } from '../../steps/step-failure.js';
import { type FakeContext, type FakeContextOptions, fakeContext, settingsFor } from './fake-context.js';
import { type EngineFaults, startFakes } from './fake-engines.js';

interface Scene {
  readonly faults?: EngineFaults;
  readonly baselineFaults?: EngineFaults;
  readonly settings?: Partial<LmEvalSettingValues>;
  readonly context?: Partial<FakeContextOptions<LmEvalSettingValues>>;
  readonly withoutLmcacheHttp?: boolean;
}

/** LM_EVAL=native against fakes; everything they need is gone after the test. */
async function setScene(test: TestContext, scene: Scene = {}) {
  const { lmcache, vllm, baseline } = await startFakes(test, scene.faults, scene.baselineFaults);
  const context: FakeContext<LmEvalSettingValues> = await fakeContext({
    settings: settingsFor(step, { LM_EVAL: 'native', LIMIT: 12, ...scene.settings }),
    urls: {
      vllm: vllm.baseUrl,
      baseline: baseline.baseUrl,
      ...(scene.withoutLmcacheHttp ? {} : { lmcache: lmcache.baseUrl }),
    },
    ...scene.context,
  });
  test.onTestFinished(() => context.dispose());
  return { context, vllm, baseline, lmcache };
}

async function runScene(test: TestContext, scene: Scene = {}): Promise<StepResult> {
  const { context } = await setScene(test, scene);
  return await step.run(context);
}

function verdict(result: StepResult, name: string) {
  return result.outcome === 'skipped' ? undefined : result.verdicts.find((candidate) => candidate.name === name);
}

// Most of the time of these tests is waiting for counters that do not come.
describe.concurrent('lm-eval step', () => {
  it('passes when the second run comes from LMCache and says the same', async (test) => {
    const { expect } = test;
    const { context, vllm, baseline } = await setScene(test);
    const result = await step.run(context);
    expect(result).toMatchObject({ outcome: 'passed' });
    expect(verdict(result, 'external_hit_tokens')).toMatchObject({ outcome: 'passed', threshold: 12 * 256 });
    expect(verdict(result, 'l1_read_chunks')).toMatchObject({ outcome: 'passed', threshold: 12 });
    expect(verdict(result, 'baseline_differences')).toMatchObject({ outcome: 'reported', measured: 0 });
    expect(vllm.prompts).toHaveLength(24);
    expect(baseline.prompts).toHaveLength(12);
    expect(context.workloads).toEqual([
      'lm-eval first_run on vllm',
      'lm-eval second_run on vllm',
      'lm-eval baseline_run on baseline',
    ]);
  });

  it('leaves the samples where the original suite has them, the same bytes for both runs', async (test) => {
    const { expect } = test;
    const { context } = await setScene(test);
    await step.run(context);
    const read = async (pass: string) => {
      const files = await readdir(context.results.path('lm_eval', pass));
      const samples = files.filter((file) => /^samples_gsm8k_.*\.jsonl$/.test(file));
      expect(samples).toHaveLength(1);
      return await readFile(context.results.path('lm_eval', pass, samples[0] ?? ''), 'utf8');
    };
    const first = await read('first_run');
    expect(await read('second_run')).toBe(first);
    expect(await read('baseline_run')).toBe(first);
    expect(first.trim().split('\n')).toHaveLength(24);
  });

  it('fails with the samples side by side when the cache changes the text', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { wrongTextFromCache: true } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'incorrect-output', cause: 'output-differs' });
    expect(verdict(result, 'differing_samples')).toMatchObject({ outcome: 'failed', measured: 12 });
    const evidence = result.outcome === 'failed' ? result.evidence.join('\n') : '';
    expect(evidence).toMatch(/sample 0, prompt: .*Answer:/);
    expect(evidence).toMatch(/Right .* ≠ +Wrong/);
  });

  it('finds the same wrong answers again when it is run again on engines that stay up', async (test) => {
    const { expect } = test;
    const { context } = await setScene(test, { faults: { wrongTextFromCache: true, withoutOwnCache: true } });
    await step.run(context);
    const again = await step.run(context);
    expect(again).toMatchObject({ outcome: 'failed', reason: 'incorrect-output' });
    expect(verdict(again, 'first_run_hit_tokens')).toMatchObject({ outcome: 'passed', measured: 0 });
  });

  it('does not pass on equal answers that both came from the cache of a server that is not its own', async (test) => {
    const { expect } = test;
    const { context, lmcache } = await setScene(test, {
      faults: { wrongTextFromCache: true, withoutOwnCache: true },
      context: { runtime: 'external' },
    });
    await step.run(context);
    const held = lmcache.stored.size;
    const again = await step.run(context);
    expect(again).toMatchObject({ outcome: 'failed', reason: 'unknown' });
    expect(again.outcome === 'failed' && again.message).toMatch(/The first run was itself answered from caches/);
    expect(verdict(again, 'differing_samples')).toMatchObject({ outcome: 'passed' });
    expect(lmcache.stored.size).toBe(held);
  });

  it('fails as not exercised when nothing comes from LMCache, whatever the texts', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { missesAlways: true } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
    expect(verdict(result, 'differing_samples')).toMatchObject({ outcome: 'passed' });
  });

  it("says why when the engine's own cache could not be reset", async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { withoutReset: true } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
    expect(result.outcome === 'failed' && result.message).toContain('VLLM_SERVER_DEV_MODE=1');
    expect(verdict(result, 'gpu_hit_tokens')?.measured).toBeGreaterThan(0);
  });

  it('does not pass on a hit counter that is no number', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { hitsInMetrics: 'NaN' } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
    expect(verdict(result, 'external_hit_tokens')).toMatchObject({ measured: null, outcome: 'failed' });
  });

  it('does not pass on a server that names no such counters', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { withoutMetrics: true } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
  });

  it('takes the proof from vLLM alone where LMCache has no HTTP', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { withoutLmcacheHttp: true });
    expect(result).toMatchObject({ outcome: 'passed' });
    expect(verdict(result, 'l1_read_chunks')).toBeUndefined();
    expect(await runScene(test, { withoutLmcacheHttp: true, faults: { missesAlways: true } })).toMatchObject({
      reason: 'cache-not-exercised',
    });
  });

  it('reports answers that differ from the baseline, and fails on them only when asked to', async (test) => {
    const { expect } = test;
    const baselineFaults = { oddAnswerTo: 'Book 1003:' };
    const reported = await runScene(test, { baselineFaults });
    expect(reported).toMatchObject({ outcome: 'passed' });
    expect(verdict(reported, 'baseline_differences')).toMatchObject({ measured: 1, outcome: 'reported' });
    expect(await runScene(test, { baselineFaults, settings: { MAX_BASELINE_DIFF: 1 } })).toMatchObject({
      outcome: 'passed',
    });
    const gated = await runScene(test, { baselineFaults, settings: { MAX_BASELINE_DIFF: 0 } });
    expect(gated).toMatchObject({ outcome: 'failed', reason: 'incorrect-output', cause: 'output-differs' });
  });

  it('fails when requests fail, with what the server said', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { failFrom: { request: 5, status: 500 } } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'regression', cause: 'request-failed' });
    expect(result.outcome === 'failed' && result.evidence[0]).toContain('the fake was told to fail');
  });

  it('blames a dead engine, with the end of its log', async (test) => {
    const { expect } = test;
    const died: UnexpectedExit = {
      role: 'vllm',
      name: 'vllm-mp-test-x',
      exit: { code: 1, signal: null, outOfMemory: false, at: '2026-01-01T00:00:00Z' },
      logTail: ['CUDA error'],
    };
    const result = await runScene(test, {
      faults: { failFrom: { request: 5, status: 500 } },
      context: { unexpectedExit: () => died },
    });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'infrastructure', cause: 'engine-died' });
    expect(result.outcome === 'failed' && result.evidence).toContain('CUDA error');
    expect(result.outcome === 'failed' && result.message).toContain('vllm-mp-test-x');
  });

  it('names what the server does serve when MODEL is unknown to it', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { servedModel: 'other/model' } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'configuration', cause: 'bad-value' });
    expect(result.outcome === 'failed' && result.message).toMatch(/"Qwen\/Qwen3-14B".*"other\/model"/);
  });

  it('refuses prompts that do not fit the model', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { maxModelLen: 512 } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'configuration', cause: 'bad-value' });
    expect(result.outcome === 'failed' && result.message).toContain('at most 512');
  });

  it('says that a server cannot be reached', async (test) => {
    const { expect } = test;
    const { context, vllm } = await setScene(test);
    await vllm.stop();
    expect(await step.run(context)).toMatchObject({ reason: 'infrastructure', cause: 'engine-unreachable' });
  });

  it('ends with the reason of the signal', async (test) => {
    const { expect } = test;
    const abort = new AbortController();
    const { context } = await setScene(test, { context: { signal: abort.signal } });
    const running = step.run(context);
    abort.abort(new Error('Ctrl-C'));
    await expect(running).rejects.toThrow('Ctrl-C');
  });

  it('falls back to the native client when there is no Python, and says so', async (test) => {
    const { expect } = test;
    const { context } = await setScene(test, {
      settings: { LM_EVAL: 'auto' },
      context: {
        setupVenv: () =>
          Promise.reject(new StepFailure('No Python.', { reason: 'configuration', failureCause: 'tool-missing' })),
      },
    });
    await step.prepare?.(context);
    expect(await step.run(context)).toMatchObject({ outcome: 'passed' });
    expect(context.lines.join('\n')).toMatch(/warning: No Python\..*not by lm_eval/);
  });

  it('does not fall back when lm_eval was asked for, nor when only the network is missing', async (test) => {
    const { expect } = test;
    const missing = new StepFailure('No Python.', { reason: 'configuration', failureCause: 'tool-missing' });
    const offline = new StepFailure('No network.', { reason: 'infrastructure', failureCause: 'tool-missing' });
    expect(
      await runScene(test, { settings: { LM_EVAL: 'lm_eval' }, context: { setupVenv: () => Promise.reject(missing) } }),
    ).toMatchObject({ reason: 'configuration', cause: 'tool-missing' });
    expect(
      await runScene(test, { settings: { LM_EVAL: 'auto' }, context: { setupVenv: () => Promise.reject(offline) } }),
    ).toMatchObject({ reason: 'infrastructure', cause: 'tool-missing' });
  });
});

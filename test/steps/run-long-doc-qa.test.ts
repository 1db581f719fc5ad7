import { readFile } from 'node:fs/promises';
import { describe, it, type TestContext, vi } from 'vitest';
import type { StepResult } from '../../results-schema/step-result.js';
import type { LongDocQaSettingValues } from '../../steps/long-doc-qa/settings.js';
import { step } from '../../steps/run-long-doc-qa.js';
import type { ClientHealth } from '../../workloads/client-health.js';
import { fakeContext, settingsFor } from './fake-context.js';
import { type EngineFaults, startFakes } from './fake-engines.js';

// A machine that stands still while these requests are sent is not what the step is judged by here.
vi.mock('../../workloads/client-health.js', async (original) => {
  const real = await original<typeof import('../../workloads/client-health.js')>();
  class KeptUp extends real.ClientWatch {
    override stop(...measured: Parameters<InstanceType<typeof real.ClientWatch>['stop']>): ClientHealth {
      return { ...super.stop(...measured), overloaded: false, remedy: null };
    }
  }
  return { ...real, ClientWatch: KeptUp };
});

interface Scene {
  readonly faults?: EngineFaults;
  readonly baselineFaults?: EngineFaults;
  readonly settings?: Partial<LongDocQaSettingValues>;
}

async function setScene(test: TestContext, scene: Scene = {}) {
  const { lmcache, vllm, baseline } = await startFakes(test, scene.faults, scene.baselineFaults);
  const context = await fakeContext<LongDocQaSettingValues>({
    settings: settingsFor(step, {
      DOCUMENT_LENGTH: 600,
      NUM_DOCUMENTS: 3,
      // The fakes answer at once: these limits are not what most tests are about.
      MAX_LMCACHE_TTFT: 20,
      MAX_LMCACHE_QUERY_ROUND_TIME: 20,
      ...scene.settings,
    }),
    urls: { vllm: vllm.baseUrl, baseline: baseline.baseUrl, lmcache: lmcache.baseUrl },
  });
  test.onTestFinished(() => context.dispose());
  return { context, vllm, baseline };
}

async function runScene(test: TestContext, scene: Scene = {}): Promise<StepResult> {
  const { context } = await setScene(test, scene);
  return await step.run(context);
}

function verdict(result: StepResult, name: string) {
  return result.outcome === 'skipped' ? undefined : result.verdicts.find((candidate) => candidate.name === name);
}

/** A GPU that holds none of the documents by the time they are asked for again. */
const small: EngineFaults = { withoutOwnCache: true };

describe.concurrent('long-doc-qa step', () => {
  it('passes within both limits when the query round comes from LMCache, the baseline measured first', async (test) => {
    const { expect } = test;
    const { context, vllm, baseline } = await setScene(test, { faults: small });
    const result = await step.run(context);
    expect(result).toMatchObject({ outcome: 'passed' });
    // 6 prompts of 601 words, two chunks of each.
    expect(verdict(result, 'query_hit_tokens')).toMatchObject({ measured: 6 * 512, threshold: (6 * 601) / 2 });
    expect(context.workloads).toEqual(['long-doc-qa on baseline', 'long-doc-qa on lmcache']);
    expect(vllm.prompts).toEqual(baseline.prompts);
    expect(vllm.prompts).toHaveLength(5 + 3 + 6);
  });

  it("writes the original suite's files", async (test) => {
    const { expect } = test;
    const { context } = await setScene(test, { faults: small });
    await step.run(context);
    const read = (file: string) => readFile(context.results.path('long_doc_qa', file), 'utf8');
    for (const server of ['baseline', 'lmcache']) {
      const lines = (await read(`${server}_result.json`)).trim().split('\n');
      expect(lines).toHaveLength(1);
      expect(Object.keys(JSON.parse(lines[0] ?? ''))).toEqual([
        'query_ttft_per_prompt',
        'query_round_time_per_prompt',
        'warmup_round_time_per_prompt',
      ]);
      expect(await read(`${server}_output.txt`)).toContain('Right');
      expect((await read(`${server}_warmup_round.csv`)).trim().split('\n')).toHaveLength(4);
      expect((await read(`${server}_query_round.csv`)).trim().split('\n')).toHaveLength(7);
    }
  });

  it('fails beyond MAX_LMCACHE_TTFT and says by how much', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: small, settings: { MAX_LMCACHE_TTFT: 1e-9 } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'regression', cause: 'threshold' });
    expect(verdict(result, 'query_ttft_per_prompt')).toMatchObject({ outcome: 'failed', threshold: 1e-9 });
    expect(result.outcome === 'failed' && result.message).toMatch(/% beyond it/);
  });

  it('fails beyond MAX_LMCACHE_QUERY_ROUND_TIME and says by how much', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: small, settings: { MAX_LMCACHE_QUERY_ROUND_TIME: 1e-9 } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'regression', cause: 'threshold' });
    expect(verdict(result, 'query_round_time_per_prompt')).toMatchObject({ outcome: 'failed', threshold: 1e-9 });
    expect(result.outcome === 'failed' && result.message).toMatch(/% beyond it/);
  });

  it('fails as not exercised when the query round finds nothing, whatever the times', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { ...small, missesAlways: true } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
  });

  it("fails as not exercised when the engine's own cache served everything", async (test) => {
    const { expect } = test;
    const result = await runScene(test);
    expect(result).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
    expect(verdict(result, 'gpu_hit_tokens')?.measured).toBeGreaterThan(0);
  });

  it('never passes on hits or prompt sizes that are no numbers', async (test) => {
    const { expect } = test;
    const nan = await runScene(test, { faults: { ...small, hitsInMetrics: 'NaN' } });
    // The LMCache server's own account stands in for vLLM's.
    expect(verdict(nan, 'query_hit_tokens')).toMatchObject({ outcome: 'passed', measured: 6 * 512 });
    const unsized = await runScene(test, { faults: { ...small, withoutUsage: true } });
    expect(unsized).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
    expect(verdict(unsized, 'query_hit_tokens')).toMatchObject({ measured: null });
  });

  it('reports answers that differ from the baseline, and fails on them only when asked to', async (test) => {
    const { expect } = test;
    const faults = { ...small, wrongTextFromCache: true };
    const reported = await runScene(test, { faults });
    expect(reported).toMatchObject({ outcome: 'passed' });
    expect(verdict(reported, 'baseline_differences')).toMatchObject({ measured: 6, note: 'of 6 compared' });
    const gated = await runScene(test, { faults, settings: { MAX_BASELINE_DIFF: 5 } });
    expect(gated).toMatchObject({ outcome: 'failed', reason: 'incorrect-output', cause: 'output-differs' });
    expect(gated.outcome === 'failed' && gated.evidence.join('\n')).toMatch(
      /baseline: " Right .*\n.*LMCache: {2}" Wrong/,
    );
  });

  it('fails when requests fail, before anything else is judged', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { ...small, failFrom: { request: 9, status: 500 } } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'regression', cause: 'request-failed' });
    expect(verdict(result, 'lmcache_completed')).toMatchObject({ measured: 4, threshold: 9 });
  });

  it('has no numbers to pass on when no query succeeds', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { ...small, failFrom: { request: 0, status: 500 } } });
    expect(result).toMatchObject({ outcome: 'failed', cause: 'request-failed' });
    expect(verdict(result, 'query_ttft_per_prompt')).toMatchObject({ measured: null, outcome: 'failed' });
  });

  it('refuses documents that do not fit the model', async (test) => {
    const { expect } = test;
    const result = await runScene(test, { faults: { maxModelLen: 512 } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'configuration', cause: 'bad-value' });
  });
});

import { describe, it, type TestContext } from 'vitest';
import { compareServers, spreadOver, step } from '../../steps/run-vllm-bench.js';
import type { TestTarget } from '../../steps/test-targets.js';
import type { BenchClient } from '../../steps/vllm-bench/bench-client.js';
import type { VllmBenchSettingValues } from '../../steps/vllm-bench/settings.js';
import type { BenchPrompt } from '../../workloads/bench/options.js';
import { replayPrompts } from '../../workloads/bench-serve.js';
import { fakeContext, settingsFor } from './fake-context.js';
import { type EngineFaults, startFakes } from './fake-engines.js';

const prompts: readonly BenchPrompt[] = Array.from({ length: 6 }, (_, index) => ({
  text: Array.from({ length: 600 }, (__, word) => `w${index}x${word}`).join(' '),
  promptLen: 600,
  outputLen: 1,
}));
const plan = { prompts, warmupPrompts: [], tokenizer: 'server' };

async function setScene(test: TestContext, faults: EngineFaults = {}) {
  const { lmcache, vllm, baseline } = await startFakes(test, faults);
  const context = await fakeContext<VllmBenchSettingValues>({
    settings: settingsFor(step, { NUM_PROMPTS: 6, RANDOM_INPUT_LEN: 600 }),
    urls: { vllm: vllm.baseUrl, baseline: baseline.baseUrl, lmcache: lmcache.baseUrl },
  });
  test.onTestFinished(() => context.dispose());
  const model = context.settings.MODEL;
  const targets = {
    baseline: { baseUrl: baseline.baseUrl, model, maxModelLen: null },
    lmcache: { baseUrl: vllm.baseUrl, model, maxModelLen: null },
  };
  return { context, targets, vllm, baseline };
}

/** Sends the prompts for real, and says what the test wants measured. */
function fakeClient(throughput: Readonly<Record<'baseline' | 'lmcache', number>>): BenchClient {
  const { signal } = new AbortController();
  return {
    label: 'fake client',
    note: null,
    warmUp: async (target: TestTarget) => {
      await replayPrompts(target, [{ text: 'warm up', promptLen: 2, outputLen: 1 }], { signal });
    },
    measure: async (target, server) => {
      const records = await replayPrompts(target, prompts, { signal });
      const completed = records.filter((record) => record.outcome.state === 'ok').length;
      const figures = { completed, total_input_tokens: 3600, total_token_throughput: throughput[server] };
      return { figures, clientOverload: null, failures: [] };
    },
  };
}

describe.concurrent('vllm-bench step', () => {
  it('replays prompts from the whole round: a server reads those sent together in an order of its own', ({
    expect,
  }) => {
    const fifty = Array.from({ length: 50 }, (_, index) => index);
    expect(spreadOver(fifty, 5)).toEqual([9, 19, 29, 39, 49]);
    expect(spreadOver([0, 1, 2], 5)).toEqual([0, 1, 2]);
  });

  it('warms up, measures the baseline first, and proves by a replay that the prompts were stored', async (test) => {
    const { expect } = test;
    const { context, targets, vllm, baseline } = await setScene(test);
    const result = await compareServers(context, fakeClient({ baseline: 1000, lmcache: 990 }), plan, targets);
    expect(result).toMatchObject({ outcome: 'passed' });
    expect(context.workloads).toEqual([
      'vllm-bench warm-up on baseline',
      'vllm-bench on baseline',
      'vllm-bench warm-up on lmcache',
      'vllm-bench on lmcache',
      'vllm-bench replay on lmcache',
    ]);
    expect(baseline.prompts).toHaveLength(1 + 6);
    expect(vllm.prompts).toHaveLength(1 + 6 + 5);
    expect(vllm.prompts.slice(-5).toSorted()).toEqual(
      prompts
        .slice(1)
        .map(({ text }) => text)
        .toSorted(),
    );
  });

  it('fails as not exercised when the replay finds nothing, however good the throughput', async (test) => {
    const { expect } = test;
    const { context, targets } = await setScene(test, { missesAlways: true });
    const result = await compareServers(context, fakeClient({ baseline: 1000, lmcache: 1000 }), plan, targets);
    expect(result).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
  });

  it('says so when the reset is not offered', async (test) => {
    const { expect } = test;
    const { context, targets } = await setScene(test, { withoutReset: true });
    const result = await compareServers(context, fakeClient({ baseline: 1000, lmcache: 1000 }), plan, targets);
    expect(result).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
    expect(result.outcome === 'failed' && result.message).toContain('VLLM_SERVER_DEV_MODE=1');
  });

  it('fails when requests fail', async (test) => {
    const { expect } = test;
    const { context, targets } = await setScene(test, { failFrom: { request: 3, status: 500 } });
    const result = await compareServers(context, fakeClient({ baseline: 1000, lmcache: 1000 }), plan, targets);
    expect(result).toMatchObject({ outcome: 'failed', reason: 'regression', cause: 'request-failed' });
  });

  it('refuses prompts that do not fit the model', async (test) => {
    const { expect } = test;
    const { context } = await setScene(test, { maxModelLen: 512 });
    expect(await step.run(context)).toMatchObject({ outcome: 'failed', reason: 'configuration', cause: 'bad-value' });
  });

  it('chooses a new seed for each run, and the one that is set', async (test) => {
    const { expect } = test;
    const { context } = await setScene(test);
    const ask = async (seed: number | null) => {
      const settings = { ...context.settings, RANDOM_SEED: seed };
      // The fakes cannot turn tokens into text, so the step ends when it makes the prompts.
      await step.run({ ...context, settings });
      return context.lines.findLast((line) => line.includes('RANDOM_SEED'));
    };
    expect(await ask(42)).toContain('RANDOM_SEED=42 ');
    expect(Number(/RANDOM_SEED=(\d+)/.exec((await ask(null)) ?? '')?.[1])).toBeGreaterThan(1_700_000_000);
  });
});

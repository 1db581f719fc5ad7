import { describe, expect, it, onTestFinished } from 'vitest';
import type { EngineRole } from '../../../engines/launch-spec.js';
import { step } from '../../../steps/run-vllm-bench.js';
import { preparePlan } from '../../../steps/vllm-bench/native-client.js';
import type { VllmBenchSettingValues } from '../../../steps/vllm-bench/settings.js';
import { serveInProcess } from '../../simulator/serve-in-process.js';
import { fakeContext, settingsFor } from '../fake-context.js';

async function setScene(urls: Partial<Record<EngineRole, string>>, signal = new AbortController().signal) {
  const settings = settingsFor(step, {
    // Nobody's tokenizer lies there.
    HF_HOME: '/nonexistent/lmcache-ci',
    NUM_PROMPTS: 4,
    RANDOM_INPUT_LEN: 50,
    MAX_WAIT_SECONDS: 20,
  });
  const context = await fakeContext<VllmBenchSettingValues>({ settings, urls, signal });
  onTestFinished(() => context.dispose());
  return context;
}

describe('preparePlan without a local tokenizer', () => {
  it('waits for the baseline that is still starting, and has it make the prompts', async () => {
    const urls: Partial<Record<EngineRole, string>> = {};
    const context = await setScene(urls);
    const pending = preparePlan(context, 7);
    const server = await serveInProcess();
    onTestFinished(() => void server.stop());
    urls.baseline = server.baseUrl;
    const plan = await pending;
    expect(plan?.prompts.map(({ promptLen }) => promptLen)).toEqual([50, 50, 50, 50]);
    expect(plan?.warmupPrompts).toHaveLength(3);
    expect(plan?.tokenizer).toBe('server');
    // The same seed makes the same prompts.
    expect((await preparePlan(context, 7))?.prompts).toEqual(plan?.prompts);
    expect((await preparePlan(context, 8))?.prompts).not.toEqual(plan?.prompts);
  });

  it('ends when the tests are over', async () => {
    const controller = new AbortController();
    // Refuses: nobody listens on port 1.
    const context = await setScene({ baseline: 'http://127.0.0.1:1' }, controller.signal);
    const pending = preparePlan(context, 7);
    controller.abort(new Error('The tests are over.'));
    await expect(pending).rejects.toThrow();
  });

  it('gives up when the baseline does not serve in time, and at once where there is none', async () => {
    const context = await setScene({ baseline: 'http://127.0.0.1:1' });
    const impatient = { ...context, settings: { ...context.settings, MAX_WAIT_SECONDS: 0.2 } };
    expect(await preparePlan(impatient, 7)).toBeNull();
    const external = await setScene({});
    expect(await preparePlan({ ...external, run: { ...external.run, runtime: 'external' } }, 7)).toBeNull();
  });
});

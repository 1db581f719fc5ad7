import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { chooseTask } from '../../../steps/lm-eval/choose-task.js';
import { lmEvalSettings } from '../../../steps/lm-eval/settings.js';
import { fakeContext, settingsFor } from '../fake-context.js';

async function setScene(engine: 'vllm' | 'sim', hubStatus: number) {
  const hub = createServer((_, response) => response.writeHead(hubStatus).end());
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
  const home = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-hf-test-'));
  const settings = settingsFor({ settings: lmEvalSettings }, { HF_HOME: home });
  const context = await fakeContext({ settings, urls: {}, engine });
  onTestFinished(async () => {
    hub.close();
    hub.closeAllConnections();
    await rm(home, { recursive: true, force: true });
    await context.dispose();
  });
  const address = hub.address();
  const port = address !== null && typeof address !== 'string' ? address.port : 0;
  return { context, home, environment: { HF_ENDPOINT: `http://127.0.0.1:${port}` } };
}

describe('chooseTask', () => {
  it('is our own task on the simulator, hub or no hub', async () => {
    const { context, environment } = await setScene('sim', 200);
    expect(await chooseTask(context, environment)).toMatchObject({ name: 'gsm8k_local', offline: true });
  });

  it('is GSM8K on a real engine where the hub has it', async () => {
    const { context, environment } = await setScene('vllm', 200);
    expect(await chooseTask(context, environment)).toMatchObject({ name: 'gsm8k', offline: false });
  });

  it('is GSM8K without the hub where the cache has it', async () => {
    const { context, environment, home } = await setScene('vllm', 503);
    await mkdir(path.join(home, 'datasets', 'openai___gsm8k', 'main', '0.0.0'), { recursive: true });
    expect(await chooseTask(context, environment)).toMatchObject({ name: 'gsm8k', offline: true });
  });

  it('does not ask the hub when told to stay offline', async () => {
    const { context, environment } = await setScene('vllm', 200);
    expect(await chooseTask(context, { ...environment, HF_HUB_OFFLINE: '1' })).toMatchObject({ name: 'gsm8k_local' });
  });

  it('is our own task where nothing has it, and says why', async () => {
    const { context, environment } = await setScene('vllm', 503);
    const task = await chooseTask(context, environment);
    expect(task).toMatchObject({ name: 'gsm8k_local', offline: true });
    expect(task.why).toContain(environment.HF_ENDPOINT);
  });
});

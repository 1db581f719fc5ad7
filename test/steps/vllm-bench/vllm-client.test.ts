import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { OwnedProcessOptions, OwnedProcessResult } from '../../../steps/step.js';
import type { VllmBenchSettingValues } from '../../../steps/vllm-bench/settings.js';
import { vllmBenchSettings } from '../../../steps/vllm-bench/settings.js';
import { createVllmClient } from '../../../steps/vllm-bench/vllm-client.js';
import { fakeContext, settingsFor } from '../fake-context.js';

const ended = (exitCode: number, stdout = '', stderr = ''): OwnedProcessResult => ({
  exitCode,
  signal: null,
  stdout,
  stderr,
  timedOut: false,
});
const target = { baseUrl: 'http://127.0.0.1:8000', model: 'Qwen/Qwen3-14B', maxModelLen: null };
const file = {
  ...{ date: '20260101-000000', endpoint_type: 'openai-chat', backend: 'openai-chat', label: null },
  ...{ model_id: 'm', tokenizer_id: 'm', num_prompts: 50, request_rate: 'inf', burstiness: 1, max_concurrency: null },
  ...{ duration: 25, completed: 50, failed: 0, total_input_tokens: 500_002, total_output_tokens: 50 },
  ...{ request_throughput: 2, request_goodput: null, output_throughput: 2, total_token_throughput: 20_002 },
};

/** Plays `vllm`: notes what it was called with and writes the result file it was asked for. */
async function setScene(answer: (command: readonly string[]) => OwnedProcessResult, content: unknown = file) {
  const commands: (readonly string[])[] = [];
  const context = await fakeContext<VllmBenchSettingValues>({
    settings: settingsFor({ settings: vllmBenchSettings }),
    urls: { vllm: target.baseUrl },
    execute: async (command) => {
      commands.push(command);
      const directory = command[command.indexOf('--result-dir') + 1];
      const name = command[command.indexOf('--result-filename') + 1];
      if (command.includes('--result-dir') && directory && name) {
        await writeFile(path.join(directory, name), JSON.stringify(content));
      }
      return answer(command);
    },
  });
  const client = await createVllmClient(context, 42, 'vllm_bench');
  onTestFinished(async () => {
    await client.dispose();
    await context.dispose();
  });
  return { client, context, commands };
}

describe('createVllmClient', () => {
  it('calls vllm bench serve as the original suite does and keeps its file', async () => {
    const { client, context, commands } = await setScene(() => ended(0, '0.33.0'));
    const measurement = await client.measure(target, 'baseline');
    expect(measurement).toMatchObject({ figures: { completed: 50, total_token_throughput: 20_002 }, failures: [] });
    const command = commands.at(-1)?.join(' ') ?? '';
    expect(command).toContain('vllm bench serve --seed 42 --base-url http://127.0.0.1:8000 --model Qwen/Qwen3-14B');
    expect(command).toContain('--dataset-name random --random-input-len 10000 --random-output-len 1 --num-prompts 50');
    expect(command).toContain('--ignore-eos --backend openai-chat --endpoint /v1/chat/completions');
    const kept: unknown = JSON.parse(await readFile(context.results.path('vllm_bench', 'baseline.json'), 'utf8'));
    expect(kept).toMatchObject(file);
    expect(client.note).toContain('wall time');
  });

  it('warms up with three prompts of another seed', async () => {
    const { client, commands } = await setScene(() => ended(0));
    await client.warmUp(target, 'lmcache');
    const command = commands.at(-1)?.join(' ') ?? '';
    expect(command).toContain('--num-prompts 3');
    expect(command).not.toContain('--seed 42 ');
  });

  it('tells of prompts that failed although vllm ended with 0', async () => {
    const { client } = await setScene(() => ended(0), { ...file, completed: 48 });
    expect((await client.measure(target, 'lmcache')).failures[0]).toContain('2 prompts failed');
  });

  it('ends it when no open request is answered within REQUEST_TIMEOUT_SECONDS', async () => {
    const stuck = async (
      _command: readonly string[],
      options: OwnedProcessOptions = {},
    ): Promise<OwnedProcessResult> => {
      // Before the requests are sent nothing moves either.
      options.onLine?.('Starting initial single prompt test run...', 'stdout');
      for (const bar of ['100%|##########| 3/3', '  0%|          | 0/50 [00:00<?, ?it/s]', '  2%|2    | 1/50'])
        options.onLine?.(bar, 'stderr');
      return await new Promise((_resolve, reject) => {
        options.signal?.addEventListener('abort', () => reject(options.signal?.reason));
      });
    };
    const context = await fakeContext<VllmBenchSettingValues>({
      settings: { ...settingsFor({ settings: vllmBenchSettings }), REQUEST_TIMEOUT_SECONDS: 0.05 },
      urls: { vllm: target.baseUrl },
      execute: async (command, options) => (command.includes('serve') ? stuck(command, options) : ended(0)),
    });
    const client = await createVllmClient(context, 42, 'vllm_bench');
    onTestFinished(async () => {
      await client.dispose();
      await context.dispose();
    });
    await expect(client.measure(target, 'lmcache')).rejects.toMatchObject({
      name: 'StepFailure',
      reason: 'unknown',
      failureCause: 'timeout',
      message: expect.stringContaining('no open request was answered for REQUEST_TIMEOUT_SECONDS'),
    });
  });

  it('fails with the end of its output when vllm does, and when it leaves no result', async () => {
    const failing = await setScene((command) => (command[1] === 'bench' ? ended(1, '', 'KeyError: x') : ended(0)));
    await expect(failing.client.measure(target, 'lmcache')).rejects.toMatchObject({
      name: 'StepFailure',
      evidence: ['KeyError: x'],
    });
    const empty = await setScene(() => ended(0), { completed: 'many' });
    await expect(empty.client.measure(target, 'lmcache')).rejects.toMatchObject({ name: 'StepFailure' });
  });
});

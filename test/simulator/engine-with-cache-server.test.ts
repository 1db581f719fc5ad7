import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type CacheServerInProcess, kvTransferConfig, serveCacheInProcess } from './cache-server-in-process.js';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const answerSchema = z.object({
  choices: z.array(z.object({ text: z.string() })),
  usage: z.object({ prompt_tokens: z.number(), prompt_tokens_details: z.object({ cached_tokens: z.number() }) }),
});

const prompt = (name: string): string => `${name} ${new Array(1000).fill('hi').join(' ')}`;

async function ask(server: ServedInProcess, text: string) {
  const response = await fetch(`${server.baseUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: text, max_tokens: 10, temperature: 0 }),
  });
  const { choices, usage } = answerSchema.parse(await response.json());
  return { text: choices[0]?.text, cached: usage.prompt_tokens_details.cached_tokens };
}

const reset = (server: ServedInProcess) => fetch(`${server.baseUrl}/reset_prefix_cache`, { method: 'POST' });
const control = (server: ServedInProcess, body: unknown) =>
  fetch(`${server.baseUrl}/sim/control`, { method: 'POST', body: JSON.stringify(body) });

async function metric(server: ServedInProcess, name: string): Promise<number> {
  const text = await (await fetch(`${server.baseUrl}/metrics`)).text();
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name}{`))
      ?.split(' ')
      .at(-1),
  );
}

describe('the simulated engine with a cache server', () => {
  let cacheServer: CacheServerInProcess;
  let server: ServedInProcess;
  beforeAll(async () => {
    cacheServer = await serveCacheInProcess(['--l1-size-gb', '10'], { SIM_SPEED: '200' });
    server = await serveInProcess(
      [
        '--served-model-name',
        'any-name',
        '--enable-prompt-tokens-details',
        '--kv-transfer-config',
        kvTransferConfig(cacheServer.port),
      ],
      { VLLM_SERVER_DEV_MODE: '1' },
    );
  });
  afterAll(async () => {
    await server.stop();
    await cacheServer.stop();
  });

  it('reads from it what its own cache has lost, in full chunks of 256, with the same text', async () => {
    const first = await ask(server, prompt('a'));
    expect(first.cached).toBe(0);
    expect(await ask(server, prompt('a'))).toEqual({ text: first.text, cached: 992 });
    await reset(server);
    expect(await ask(server, prompt('a'))).toEqual({ text: first.text, cached: 768 });
    expect(await metric(server, 'vllm:external_prefix_cache_hits_total')).toBe(768);
    expect(await metric(server, 'vllm:external_prefix_cache_queries_total')).toBe(1001 * 3 - 992);
  });

  it('SIM_FAULT=wrong-text-from-cache changes the text of what came from the cache tier, and nothing else', async () => {
    const right = await ask(server, prompt('b'));
    await control(server, { fault: 'wrong-text-from-cache' });
    try {
      expect((await ask(server, prompt('b'))).text).toBe(right.text);
      await reset(server);
      const wrong = await ask(server, prompt('b'));
      expect(wrong.cached).toBe(768);
      expect(wrong.text).not.toBe(right.text);
    } finally {
      await control(server, { fault: 'none' });
    }
  });

  // A real engine's answers: docs/real-runs/small/recompute.
  it('stands still for one lookup when the cache server dies, then goes on with misses that cost nothing', async () => {
    const before = await ask(server, prompt('c'));
    const ttft = () => metric(server, 'vllm:time_to_first_token_seconds_sum');
    await reset(server);
    const start = await ttft();
    await cacheServer.stop();
    expect(await ask(server, prompt('c'))).toEqual({ text: before.text, cached: 0 });
    const met = await ttft();
    expect(met - start).toBeGreaterThan(10);
    expect((await ask(server, prompt('d'))).cached).toBe(0);
    expect((await ttft()) - met).toBeLessThan(5);
    expect(server.output().split('timed out after 10.0s. Marking server as unhealthy.')).toHaveLength(2);
  });
});

describe('the simulated engine without its cache server', () => {
  it('starts and serves, everything a miss', async () => {
    const holder = await serveCacheInProcess(['--l1-size-gb', '10'], { SIM_SPEED: '200' });
    const { port } = holder;
    await holder.stop();
    const server = await serveInProcess([
      '--enable-prompt-tokens-details',
      '--kv-transfer-config',
      kvTransferConfig(port),
    ]);
    try {
      expect((await ask(server, prompt('a'))).cached).toBe(0);
    } finally {
      await server.stop();
    }
  });
});

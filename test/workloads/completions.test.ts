import { afterEach, expect, test } from 'vitest';
import { completePrompts } from '../../workloads/completions.js';
import { promptOf, startFakeOpenAi } from '../fixtures/fake-openai.js';
import type { RawHttpServer } from '../fixtures/raw-http-server.js';

const { signal } = new AbortController();
let server: RawHttpServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

test('answers come in the order of the prompts, whatever the order of the endings', async () => {
  server = await startFakeOpenAi({
    intercept: async (exchange) => {
      const index = Number(promptOf(JSON.parse(exchange.request.body)));
      await new Promise((resolve) => setTimeout(resolve, (5 - index) * 4));
      await exchange.startStream();
      await exchange.event({ choices: [{ index: 0, text: `answer ${index}`, finish_reason: 'stop' }] });
      await exchange.event('[DONE]');
      await exchange.endStream();
      return true;
    },
  });
  const result = await completePrompts({ baseUrl: server.baseUrl, model: 'm' }, ['0', '1', '2', '3', '4', '5'], {
    maxTokens: 256,
    concurrency: 6,
    stop: ['Question:', '</s>'],
    seed: 1234,
    signal,
  });
  expect(result.records.map((record) => record.text)).toEqual([0, 1, 2, 3, 4, 5].map((index) => `answer ${index}`));
  expect(server.requests[0]?.path).toBe('/v1/completions');
  expect(JSON.parse(server.requests.find((request) => request.body.includes('"0"'))?.body ?? '')).toEqual({
    model: 'm',
    prompt: '0',
    max_tokens: 256,
    temperature: 0,
    stop: ['Question:', '</s>'],
    seed: 1234,
    stream: true,
    stream_options: { include_usage: true },
  });
});

test('what fails stands in its place; nothing is sent twice', async () => {
  server = await startFakeOpenAi({
    intercept: async (exchange, request) => {
      if (request === 1) {
        await exchange.answer(400, '{"error":{"message":"too long"}}');
      }
      return request === 1;
    },
  });
  const { records, interrupted } = await completePrompts({ baseUrl: server.baseUrl, model: 'm' }, ['a', 'b', 'c'], {
    maxTokens: 2,
    concurrency: 1,
    chat: true,
    extraBody: { top_k: 1 },
    signal,
  });
  expect(records.map((record) => record.outcome.state)).toEqual(['ok', 'failed', 'ok']);
  expect(records[1]?.outcome).toMatchObject({ reason: 'http-error', status: 400 });
  expect([server.requests.length, interrupted]).toEqual([3, false]);
  expect(JSON.parse(server.requests[0]?.body ?? '')).toMatchObject({
    messages: [{ role: 'user', content: 'a' }],
    top_k: 1,
  });
});

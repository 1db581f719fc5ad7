import { afterEach, expect, test } from 'vitest';
import {
  detokenize,
  isHealthy,
  listModels,
  resetPrefixCache,
  ServerAnswerError,
  ServerUnreachableError,
  serverVersion,
  tokenize,
} from '../../workloads/server-api.js';
import { type RawExchange, RawHttpServer } from '../fixtures/raw-http-server.js';

const { signal } = new AbortController();
let server: RawHttpServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

async function target(answer: (exchange: RawExchange) => unknown, apiKey?: string) {
  server = await RawHttpServer.start(answer);
  return { baseUrl: `${server.baseUrl}/`, model: 'm', ...(apiKey === undefined ? {} : { apiKey }) };
}

test('models, version and health', async () => {
  const at = await target((exchange) =>
    exchange.request.path === '/health'
      ? exchange.answer(200, '')
      : exchange.answer(200, '{"object":"list","data":[{"id":"Qwen/Qwen3-14B","max_model_len":40960},{"id":"other"}]}'),
  );
  expect(await listModels(at, signal)).toEqual([
    { id: 'Qwen/Qwen3-14B', maxModelLen: 40960 },
    { id: 'other', maxModelLen: null },
  ]);
  expect(await serverVersion(at, signal)).toBe('0.0.0');
  expect(await isHealthy(at, signal)).toBe(true);
  await expect.poll(() => server?.openConnections).toBe(0);
});

test('a dead engine and a dead server are not healthy', async () => {
  const at = await target((exchange) => exchange.answer(503, ''));
  expect(await isHealthy(at, signal)).toBe(false);
  await server?.close();
  expect(await isHealthy(at, signal)).toBe(false);
  await expect(listModels(at, signal)).rejects.toThrow(ServerUnreachableError);
  await expect(isHealthy(at, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
});

test('an answer that is none of its kind says what came', async () => {
  const answers = ['<html>', '{"data":[{}]}'];
  const at = await target((exchange) => exchange.answer(200, answers.shift() ?? ''));
  await expect(listModels(at, signal)).rejects.toThrow('no JSON: "<html>"');
  await expect(listModels(at, signal)).rejects.toThrow(ServerAnswerError);
});

test.each([
  '[]',
  '{}',
  '{"data":3}',
  '{"data":[{"id":3}]}',
  '{"data":[{"id":"m"},null]}',
  '{"data":[{"id":"m","max_model_len":"x"}]}',
])('a list of models that is none: %s', async (answer) => {
  const at = await target((exchange) => exchange.answer(200, answer));
  await expect(listModels(at, signal)).rejects.toThrow('GET /v1/models answered something else');
});

test.each(['3', '{"tokens":"a"}', '{"tokens":[1,"2"]}', '{"tokens":[1.5]}'])(
  'tokens that are none: %s',
  async (answer) => {
    const at = await target((exchange) => exchange.answer(200, answer));
    await expect(tokenize(at, 'a', { addSpecialTokens: false, signal })).rejects.toThrow('something else');
  },
);

test('tokens of a text and text of tokens, with the key', async () => {
  const at = await target(
    (exchange) =>
      exchange.answer(
        200,
        exchange.request.path === '/tokenize'
          ? '{"count":2,"max_model_len":9,"tokens":[275,283],"token_strs":null}'
          : '{"prompt":"hi hi"}',
      ),
    'secret',
  );
  expect(await tokenize(at, 'hi hi', { addSpecialTokens: false, signal })).toEqual([275, 283]);
  expect(await detokenize(at, [275, 283], { signal })).toBe('hi hi');
  expect(server?.requests.map((request) => [request.headers['authorization'], JSON.parse(request.body)])).toEqual([
    ['Bearer secret', { model: 'm', prompt: 'hi hi', add_special_tokens: false }],
    ['Bearer secret', { model: 'm', tokens: [275, 283] }],
  ]);
});

test('the prefix cache is asked again while blocks are in use', async () => {
  const answers = ['{"success":false}', '{"success":false}', '{"success":true}'];
  const at = await target((exchange) => exchange.answer(200, answers.shift() ?? ''));
  expect(await resetPrefixCache(at, signal)).toEqual({ ok: true });
  expect(server?.requests).toHaveLength(3);
});

test('an older server answers a reset with nothing', async () => {
  expect(await resetPrefixCache(await target((exchange) => exchange.answer(200, '')), signal)).toEqual({ ok: true });
});

test('a server without the reset says how to get it', async () => {
  const at = await target((exchange) => exchange.answer(404, '{"detail":"Not Found"}'));
  expect(await resetPrefixCache(at, signal)).toEqual({
    ok: false,
    message: expect.stringContaining('VLLM_SERVER_DEV_MODE=1'),
  });
});

test('a reset that fails says what the server said', async () => {
  const at = await target((exchange) => exchange.answer(500, 'boom'));
  expect(await resetPrefixCache(at, signal)).toEqual({ ok: false, message: expect.stringContaining('boom') });
});

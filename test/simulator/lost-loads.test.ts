import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OpenAiFormat } from '../../simulator/http/answer-format.js';
import { MessagesFormat } from '../../simulator/http/messages-format.js';
import { connectorTo } from '../../simulator/lmcache/connector.js';
import { Heartbeat } from '../../simulator/lmcache/heartbeat.js';
import type { TierClient } from '../../simulator/lmcache/tier-client.js';
import { lineSplitter } from '../../simulator/lmcache/tier-protocol.js';
import { loadProfile } from '../../simulator/profiles.js';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const PROMPT = new Array(600).fill('hi').join(' ');
const MESSAGES = [{ role: 'user', content: PROMPT }];
/** vLLM 0.26's own HTTP layer said these before an engine that fails its requests. */
const FAILURE = '{"error":{"message":"Internal server error","type":"InternalServerError","param":null,"code":500}}';

/** A cache server that has every chunk when it is asked, and is gone when one is fetched. */
async function vanishingCacheServer() {
  const server = createServer((socket) => {
    socket.setEncoding('utf8');
    const feed = lineSplitter((line) => {
      const { op, id, hashes } = JSON.parse(line);
      if (op === 'load') socket.destroy();
      else if (op === 'register') socket.write(`${JSON.stringify({ id, chunkTokens: 256 })}\n`);
      else if (op === 'lookup') socket.write(`${JSON.stringify({ id, chunks: hashes.length })}\n`);
    });
    socket.on('data', (data: string) => feed(data));
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { port, close: () => server.close() };
}

describe('the simulated engine whose cache server vanishes between its answer and the load', () => {
  let cache: Awaited<ReturnType<typeof vanishingCacheServer>>;
  beforeAll(async () => {
    cache = await vanishingCacheServer();
  });
  afterAll(() => cache.close());

  const serve = (policy: Readonly<Record<string, string>>): Promise<ServedInProcess> => {
    const place = { 'lmcache.mp.host': 'tcp://127.0.0.1', 'lmcache.mp.port': cache.port, 'lmcache.mp.mq_timeout': 1 };
    const connector = { kv_connector: 'LMCacheMPConnector', kv_role: 'kv_both', kv_connector_extra_config: place };
    // Without a cache of its own, the engine asks for every prompt.
    const config = JSON.stringify({ ...connector, ...policy });
    return serveInProcess(['--no-enable-prefix-caching', '--kv-transfer-config', config]);
  };
  const post = async (server: ServedInProcess, path: string, body: object): Promise<readonly [number, string]> => {
    // A server that was gone is asked again a quarter of a second later.
    for (;;) {
      const before = server.output().split('Failing 1 request(s)').length;
      const response = await fetch(`${server.baseUrl}${path}`, { method: 'POST', body: JSON.stringify(body), headers });
      const text = await response.text().catch(() => 'broken off');
      if (server.output().split('Failing 1 request(s)').length > before) return [response.status, text];
    }
  };
  const headers = { 'content-type': 'application/json' };

  it('fails the request where no policy is given, as vLLM 0.26 does', async () => {
    const server = await serve({});
    const model = 'Qwen/Qwen3-14B';
    try {
      const completion = { prompt: PROMPT, max_tokens: 2 };
      expect(await post(server, '/v1/completions', completion)).toEqual([500, FAILURE]);
      expect(await post(server, '/v1/chat/completions', { messages: MESSAGES, max_tokens: 2, n: 2 })).toEqual([
        500,
        FAILURE,
      ]);
      const message = { model, messages: MESSAGES, max_tokens: 2 };
      expect(await post(server, '/v1/messages', message)).toEqual([
        500,
        '{"type":"error","error":{"type":"internal_error","message":"Internal server error"}}',
      ]);
      // A stream that has told nothing yet does not tell that either.
      expect(await post(server, '/v1/completions', { ...completion, stream: true })).toEqual([200, 'data: [DONE]\n\n']);
      const [, streamed] = await post(server, '/v1/messages', { ...message, stream: true });
      expect(streamed).toContain('"delta":{"stop_reason":"end_turn"}');
      expect(await post(server, '/v1/responses', { input: PROMPT, stream: true, max_output_tokens: 2 })).toEqual([
        200,
        'broken off',
      ]);
      const metrics = await (await fetch(`${server.baseUrl}/metrics`)).text();
      expect(metrics).toMatch(/request_success_total\{engine="0",model_name="[^"]+",finished_reason="error"\} [1-9]/);
      expect(metrics).toMatch(/num_requests_running\{[^}]+\} 0\n/);
      expect(server.output()).toContain('KV load failure (failure_policy=fail, 512 tokens affected)');
    } finally {
      await server.stop();
    }
  });

  it('computes what it was promised where the policy is "recompute"', async () => {
    const server = await serve({ kv_load_failure_policy: 'recompute' });
    try {
      const body = JSON.stringify({ prompt: PROMPT, max_tokens: 2 });
      const response = await fetch(`${server.baseUrl}/v1/completions`, { method: 'POST', body, headers });
      expect(response.status).toBe(200);
      expect(server.output()).not.toContain('Failing');
    } finally {
      await server.stop();
    }
  });
});

describe('a load that is lost', () => {
  const lostTier: TierClient = {
    chunkTokens: 256,
    lookup: async (hashes) => hashes.length,
    load: async () => ({ chunks: 0, l2Seconds: 0, isLost: true }),
    loaded: () => undefined,
    store: () => undefined,
    close: async () => undefined,
  };

  it.each([true, false])('is known with the answer that the next ping misses (fails: %s)', async (failsLostLoads) => {
    const heartbeat = new Heartbeat(10);
    heartbeat.start(3);
    const connector = connectorTo(lostTier, {
      kvBytesPerToken: 1,
      model: 'm',
      transfer: loadProfile('h200').transfer,
      clock: { now: () => 25 },
      failsLostLoads,
      lossNoticedAt: (time) => heartbeat.noticesAt(time),
    });
    // Pings at 3, 13, 23, 33; that one's answer is waited for until 43.
    const load = await connector.load(new Array(600).fill(1), 512, 0, 24);
    expect(load).toEqual({ seconds: 19, loadedTokens: 0, failed: failsLostLoads });
  });

  it('counts pings from when the engine has registered, and anew when it has again', () => {
    const heartbeat = new Heartbeat(4);
    heartbeat.start(100);
    expect([100, 100.5, 104, 107].map((at) => heartbeat.noticesAt(at))).toEqual([104, 108, 108, 112]);
    heartbeat.start(201);
    expect(heartbeat.noticesAt(203)).toBe(209);
  });
});

describe('a stream that fails after its first token', () => {
  const head = {
    endpoint: 'chat',
    role: 'assistant',
    id: 'chatcmpl-1',
    created: 1,
    model: 'm',
    fingerprint: 'f',
  } as const;

  it('tells it in the words of its dialect', () => {
    expect(new OpenAiFormat(head).failure(true)).toEqual({
      kind: 'told',
      lastEvents:
        'data: {"error": {"message": "Internal server error", "type": "InternalServerError", "param": null, "code": 500}}\n\ndata: [DONE]\n\n',
    });
    expect(new MessagesFormat(head).failure(true)).toMatchObject({
      lastEvents: expect.stringMatching(
        /^event: error\ndata: \{"type":"error","error":\{"type":"internal_error","message":"2 validation errors for Chat/,
      ),
    });
  });
});

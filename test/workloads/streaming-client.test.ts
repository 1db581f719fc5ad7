import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MeasuringClient } from '../../workloads/measuring-client.js';
import type { RequestRecord } from '../../workloads/request.js';
import { ttftFromIntendedSeconds, ttftSeconds } from '../../workloads/request.js';
import type { RoundOptions, RoundResult } from '../../workloads/request-round.js';
import { ServerUnreachableError } from '../../workloads/server-api.js';
import { chunkOf, type RawExchange, RawHttpServer, type RawServerOptions } from '../fixtures/raw-http-server.js';

const USAGE = { prompt_tokens: 7, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 3 } };
const role = { choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] };
const token = (content: string, finish: string | null = null) => ({
  choices: [{ index: 0, delta: { content }, finish_reason: finish }],
});

async function goodAnswer(exchange: RawExchange): Promise<void> {
  await exchange.startStream();
  await exchange.event(role);
  await exchange.event(token('Hé'));
  await exchange.event(token('llo', 'length'));
  await exchange.event({ choices: [], usage: USAGE });
  await exchange.event('[DONE]');
  await exchange.endStream();
}

let server: RawHttpServer | null = null;
let client: MeasuringClient | null = null;
let controller = new AbortController();

beforeEach(() => {
  controller = new AbortController();
});
afterEach(async () => {
  client?.close();
  await server?.close();
  client = null;
  server = null;
});

async function connect(answer: (exchange: RawExchange) => unknown, options?: RawServerOptions): Promise<RawHttpServer> {
  server = await RawHttpServer.start(answer, options);
  client = await MeasuringClient.connect({ baseUrl: server.baseUrl, model: 'm' }, controller.signal);
  return server;
}

function send(
  count: number,
  options: Partial<RoundOptions> = {},
  arrivals: readonly number[] = [],
): Promise<RoundResult> {
  const open = client;
  if (open === null) {
    throw new Error('not connected');
  }
  const requests = Array.from({ length: count }, (_, index) =>
    open.prepare('/v1/chat/completions', { index }, { expectedTokens: 2, intendedStart: arrivals[index] ?? 0 }),
  );
  return open.run(requests, { maxInFlight: null, requestTimeoutSeconds: 10, signal: controller.signal, ...options });
}

async function sendOne(options: Partial<RoundOptions> = {}): Promise<RequestRecord> {
  const { records } = await send(1, options);
  const [record] = records;
  if (record === undefined) {
    throw new Error('no record');
  }
  return record;
}

describe('a stream that goes well', () => {
  test('is recorded with its times in order, its tokens and its text', async () => {
    const gates: (() => void)[] = [];
    const gate = () => new Promise<void>((resolve) => gates.push(resolve));
    const started = connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(role);
      await gate();
      await exchange.event(token('Hé'));
      await gate();
      await exchange.event(token('llo', 'length'));
      await exchange.event({ choices: [], usage: USAGE });
      await exchange.event('[DONE]');
      await exchange.endStream();
    });
    await started;
    const running = sendOne();
    const released: number[] = [];
    for (let step = 0; step < 2; step += 1) {
      await expect.poll(() => gates.length).toBe(step + 1);
      released.push(performance.now());
      gates[step]?.();
    }
    const record = await running;
    expect(record).toMatchObject({
      index: 0,
      status: 200,
      text: 'Héllo',
      promptTokens: 7,
      completionTokens: 2,
      cachedTokens: 3,
      finishReason: 'length',
      outcome: { state: 'ok' },
    });
    const times = [
      record.sentAt,
      record.bodySentAt,
      record.headersAt,
      record.firstByteAt,
      record.firstTokenAt,
      record.tokenTimes[1],
      record.endedAt,
    ].map(Number);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(record.tokenTimes).toHaveLength(2);
    // The role came before the first gate was opened: it is not the first token.
    expect((record.firstTokenAt ?? 0) - (record.firstByteAt ?? 0)).toBeGreaterThan(0);
    const gap = (record.tokenTimes[1] ?? 0) - (record.tokenTimes[0] ?? 0);
    expect(gap).toBeGreaterThan(0);
    expect(gap * 1000).toBeLessThanOrEqual(performance.now() - (released[0] ?? 0));
  });

  test('arrives the same in single bytes', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      const events = [role, token('Hé'), token('llo', 'stop'), { choices: [], usage: USAGE }, '[DONE]'];
      for (const byte of Buffer.from(
        events.map((data) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\r\n\r\n`).join(''),
      )) {
        await exchange.chunk(Uint8Array.of(byte));
      }
      await exchange.endStream();
    });
    expect(await sendOne()).toMatchObject({ text: 'Héllo', completionTokens: 2, outcome: { state: 'ok' } });
  });

  test('is sent over connections opened ahead, kept alive, used again, without a delay of small packets', async () => {
    const { connections, requests } = await connect(goodAnswer);
    expect(connections).toBe(1);
    const round = await send(12, { maxInFlight: 3 });
    expect(round.records.every((record) => record.outcome.state === 'ok')).toBe(true);
    expect(new Set(requests.map((request) => request.connection)).size).toBe(3);
    expect(server?.connections).toBe(4);
    expect(requests[0]?.headers).toMatchObject({
      'content-type': 'application/json',
      host: `127.0.0.1:${server?.port}`,
    });
  });

  test('never has more in flight than the limit, and each place is refilled at once', async () => {
    let inFlight = 0;
    let most = 0;
    await connect(async (exchange) => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inFlight -= 1;
      await goodAnswer(exchange);
    });
    const round = await send(40, { maxInFlight: 4 });
    expect(most).toBe(4);
    expect(round.records.map((record) => record.index)).toEqual(Array.from({ length: 40 }, (_, index) => index));
    for (const record of round.records) {
      expect(record.readyAt).toBeLessThanOrEqual(record.sentAt ?? -1);
    }
    // Each of the first four was ready at the start; every later one when an earlier one ended.
    const endings = round.records.map((record) => record.endedAt);
    expect(round.records.slice(0, 4).map((record) => record.readyAt)).toEqual([0, 0, 0, 0]);
    for (const record of round.records.slice(4)) {
      expect(endings).toContain(record.readyAt);
    }
  });

  test('leaves on its schedule, and a wait for a place counts from the intended start', async () => {
    await connect(async (exchange) => {
      await new Promise((resolve) => setTimeout(resolve, 40));
      await goodAnswer(exchange);
    });
    const arrivals = [0.01, 0.02, 0.05];
    const open = await send(3, {}, arrivals);
    for (const [index, record] of open.records.entries()) {
      expect(record.intendedStart).toBe(arrivals[index]);
      expect(record.sentAt).toBeGreaterThanOrEqual(record.intendedStart);
    }
    const [, second] = (await send(2, { maxInFlight: 1 }, [0.001, 0.002])).records;
    expect(second?.sentAt).toBeGreaterThan(0.04);
    expect(second && ttftFromIntendedSeconds(second)).toBeGreaterThan((second && ttftSeconds(second)) ?? 1);
  });

  test('is measured in the time of a simulated server, and scheduled in it', async () => {
    await connect(
      async (exchange) => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        await goodAnswer(exchange);
      },
      { versionHeaders: { 'x-lmcache-ci-simulated': 'h200', 'x-lmcache-ci-sim-speed': '50' } },
    );
    expect(client?.simulated).toEqual({ profile: 'h200', speed: 50 });
    const before = performance.now();
    const round = await send(1, {}, [5]);
    const wallSeconds = (performance.now() - before) / 1000;
    const [record] = round.records;
    expect(record?.sentAt).toBeGreaterThanOrEqual(5);
    expect(wallSeconds).toBeLessThan(5);
    expect(record && ttftSeconds(record)).toBeGreaterThan(1.45);
    expect(round.durationSeconds).toBeGreaterThan(6.45);
    expect(round.durationSeconds).toBeLessThanOrEqual(wallSeconds * 50);
  });
});

describe('a request that fails ends in exactly one state', () => {
  test.each([429, 503])('HTTP %i, with its body and when to come back; it is not tried again', async (status) => {
    await connect((exchange) => exchange.answer(status, '{"error":{"message":"busy"}}', { 'retry-after': '120' }));
    expect((await sendOne()).outcome).toEqual({
      state: 'failed',
      reason: 'http-error',
      status,
      body: '{"error":{"message":"busy"}}',
      retryAfterSeconds: 120,
    });
    expect(server?.requests).toHaveLength(1);
  });

  test('an error inside the stream, although tokens and [DONE] came too', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      await exchange.event({ error: { message: 'engine core died' } });
      await exchange.event('[DONE]');
      await exchange.endStream();
    });
    expect((await sendOne()).outcome).toMatchObject({
      reason: 'in-band-error',
      message: expect.stringContaining('core'),
    });
  });

  test('a stream without [DONE]', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      await exchange.endStream();
    });
    const record = await sendOne();
    expect(record.outcome).toMatchObject({ reason: 'truncated' });
    expect(record.text).toBe('x');
  });

  test('a stream without usage succeeds, its counts unknown', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      await exchange.event('[DONE]');
      await exchange.endStream();
    });
    expect(await sendOne()).toMatchObject({ outcome: { state: 'ok' }, promptTokens: null, completionTokens: null });
  });

  test('a complete stream whose connection is lost behind [DONE] succeeds', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      await exchange.event('[DONE]');
      exchange.socket.end();
    });
    expect(await sendOne()).toMatchObject({ outcome: { state: 'ok' }, text: 'x' });
  });

  test('a reset before and in the middle of the answer', async () => {
    let count = 0;
    await connect(async (exchange) => {
      count += 1;
      if (count === 2) {
        await exchange.startStream();
        await exchange.event(token('x'));
      }
      exchange.reset();
    });
    const round = await send(2, { maxInFlight: 1 });
    expect(round.records.map((record) => record.outcome)).toMatchObject([
      { reason: 'connection' },
      { reason: 'connection' },
    ]);
  });

  test('a connection that ends in the middle', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      exchange.socket.end();
    });
    expect((await sendOne()).outcome).toMatchObject({
      reason: 'connection',
      message: expect.stringContaining('closed'),
    });
  });

  test('a server that dies: what is in flight and what comes after', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      if (server?.requests.length === 3) {
        server.die();
      }
    });
    const round = await send(8, { maxInFlight: 3 });
    expect(round.records).toHaveLength(8);
    expect(round.records.every((record) => record.outcome.state === 'failed')).toBe(true);
    expect(round.records.at(-1)?.outcome).toMatchObject({
      reason: 'connection',
      message: expect.stringContaining('ECONN'),
    });
  });

  test('a time-out, counted in the time of the server, for a stream that drips without end', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      while (!exchange.socket.destroyed) {
        await exchange.chunk(': ping\n\n');
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    });
    const record = await sendOne({ requestTimeoutSeconds: 0.1 });
    expect(record.outcome).toMatchObject({ reason: 'timeout', message: expect.stringContaining('0.1 s') });
    expect(record.endedAt).toBeGreaterThanOrEqual(0.099);
  });

  test.each<[string, (exchange: RawExchange) => Promise<void>, string]>([
    [
      'JSON that is broken',
      async (exchange) => {
        await exchange.startStream();
        await exchange.chunk('data: {"choices": [\n\n');
        await exchange.endStream();
      },
      'JSON',
    ],
    [
      'no event stream',
      (exchange) => exchange.answer(200, '{"choices":[]}', { 'content-type': 'application/json' }),
      'application/json',
    ],
    ['no HTTP', (exchange) => exchange.write('220 smtp ready\r\n\r\n'), 'HTTP/1.1'],
    [
      'broken chunks',
      (exchange) =>
        exchange.write(
          Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'), Buffer.from('zz\r\n')]),
        ),
      'size',
    ],
  ])('%s', async (_, answer, message) => {
    await connect(answer);
    expect((await sendOne()).outcome).toMatchObject({
      reason: 'invalid-stream',
      message: expect.stringContaining(message),
    });
  });

  test('a proper stream in which nothing was generated', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(role);
      await exchange.event({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 0 } });
      await exchange.event('[DONE]');
      await exchange.endStream();
    });
    const record = await sendOne();
    expect(record.outcome).toMatchObject({ reason: 'no-tokens' });
    expect(ttftSeconds(record)).toBeNull();
  });

  test('a token whose text is empty counts where there is no other', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(role);
      await exchange.event(token('', 'length'));
      await exchange.event({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } });
      await exchange.event('[DONE]');
      await exchange.endStream();
    });
    const record = await sendOne();
    expect(record.outcome).toEqual({ state: 'ok' });
    expect(record.firstTokenAt).toBe(record.tokenTimes[0]);
  });

  test('an abort: what is in flight, what is not yet sent; nothing is left open', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      if (server?.requests.length === 2) {
        controller.abort(new Error('Ctrl-C'));
      }
    });
    const round = await send(5, { maxInFlight: 2 });
    expect(round.interrupted).toBe(true);
    expect(round.records.map((record) => record.outcome)).toEqual(
      Array.from({ length: 5 }, () => ({ state: 'failed', reason: 'aborted', message: expect.any(String) })),
    );
    expect(round.records.map((record) => record.sentAt !== null)).toEqual([true, true, false, false, false]);
    await expect.poll(() => server?.openConnections).toBe(0);
  });

  test('an abort before the first request', async () => {
    await connect(goodAnswer);
    controller.abort();
    expect((await send(2)).records.map((record) => record.sentAt)).toEqual([null, null]);
    expect(server?.requests).toHaveLength(0);
  });
});

describe('connections', () => {
  test('one that the server closes behind its answer is not used again', async () => {
    await connect(async (exchange) => {
      await exchange.startStream({ connection: 'close' });
      await exchange.event(token('x'));
      await exchange.event('[DONE]');
      await exchange.endStream();
      exchange.socket.end();
    });
    const round = await send(4, { maxInFlight: 1 });
    expect(round.records.every((record) => record.outcome.state === 'ok')).toBe(true);
  });

  test('one that the server closes while idle is noticed and replaced', async () => {
    let closeAfter = true;
    await connect(async (exchange) => {
      await goodAnswer(exchange);
      if (closeAfter) {
        closeAfter = false;
        exchange.socket.end();
      }
    });
    await sendOne();
    await expect.poll(() => server?.openConnections).toBe(0);
    expect((await sendOne()).outcome).toEqual({ state: 'ok' });
  });

  test('an answer without framing ends with its connection', async () => {
    await connect(async (exchange) => {
      await exchange.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n');
      await exchange.write(`data: ${JSON.stringify(token('x'))}\n\ndata: [DONE]\n\n`);
      exchange.socket.end();
    });
    expect(await sendOne()).toMatchObject({ outcome: { state: 'ok' }, text: 'x' });
  });

  test('bytes behind an answer spoil the connection, not the answer', async () => {
    await connect(async (exchange) => {
      await exchange.startStream();
      await exchange.write(
        Buffer.concat([
          chunkOf(`data: ${JSON.stringify(token('x'))}\n\n`),
          chunkOf('data: [DONE]\n\n'),
          Buffer.from('0\r\n\r\nHTTP/1.1 200 OK\r\n'),
        ]),
      );
    });
    const round = await send(3, { maxInFlight: 1 });
    expect(round.records.map((record) => record.outcome.state)).toEqual(['ok', 'ok', 'ok']);
  });

  test('nobody there: a clear error before the first request', async () => {
    const gone = await RawHttpServer.start(() => undefined);
    const { baseUrl } = gone;
    await gone.close();
    await expect(MeasuringClient.connect({ baseUrl, model: 'm' }, controller.signal)).rejects.toThrow(
      ServerUnreachableError,
    );
    await expect(MeasuringClient.connect({ baseUrl: 'vllm:8000', model: 'm' }, controller.signal)).rejects.toThrow(
      '"vllm:8000"',
    );
  });

  test('a simulator that does not say its speed is refused', async () => {
    server = await RawHttpServer.start(() => undefined, { versionHeaders: { 'x-lmcache-ci-simulated': 'h200' } });
    await expect(MeasuringClient.connect({ baseUrl: server.baseUrl, model: 'm' }, controller.signal)).rejects.toThrow(
      'does not say its speed',
    );
  });
});

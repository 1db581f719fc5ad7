import { describe, expect, test } from 'vitest';
import { ttftSeconds } from '../../workloads/request.js';
import type { RawExchange } from '../fixtures/raw-http-server.js';
import { goodAnswer, MeasuringRig, role, token } from './measuring-rig.js';

const rig = new MeasuringRig();

describe('a request that fails ends in exactly one state', () => {
  test.each([429, 503])('HTTP %i, with its body and when to come back; it is not tried again', async (status) => {
    await rig.connect((exchange) => exchange.answer(status, '{"error":{"message":"busy"}}', { 'retry-after': '120' }));
    expect((await rig.sendOne()).outcome).toEqual({
      state: 'failed',
      reason: 'http-error',
      status,
      body: '{"error":{"message":"busy"}}',
      retryAfterSeconds: 120,
    });
    expect(rig.server?.requests).toHaveLength(1);
  });

  test('an error inside the stream, although tokens and [DONE] came too', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      await exchange.event({ error: { message: 'engine core died' } });
      await exchange.event('[DONE]');
      await exchange.endStream();
    });
    expect((await rig.sendOne()).outcome).toMatchObject({
      reason: 'in-band-error',
      message: expect.stringContaining('core'),
    });
  });

  test('a stream without [DONE]', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      await exchange.endStream();
    });
    const record = await rig.sendOne();
    expect(record.outcome).toMatchObject({ reason: 'truncated' });
    expect(record.text).toBe('x');
  });

  test('a stream without usage succeeds, its counts unknown', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      await exchange.event('[DONE]');
      await exchange.endStream();
    });
    expect(await rig.sendOne()).toMatchObject({ outcome: { state: 'ok' }, promptTokens: null, completionTokens: null });
  });

  test('a complete stream whose connection is lost behind [DONE] succeeds', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      await exchange.event('[DONE]');
      exchange.socket.end();
    });
    expect(await rig.sendOne()).toMatchObject({ outcome: { state: 'ok' }, text: 'x' });
  });

  test('a reset before and in the middle of the answer', async () => {
    let count = 0;
    await rig.connect(async (exchange) => {
      count += 1;
      if (count === 2) {
        await exchange.startStream();
        await exchange.event(token('x'));
      }
      exchange.reset();
    });
    const round = await rig.send(2, { maxInFlight: 1 });
    expect(round.records.map((record) => record.outcome)).toMatchObject([
      { reason: 'connection' },
      { reason: 'connection' },
    ]);
  });

  test('a connection that ends in the middle', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      exchange.socket.end();
    });
    expect((await rig.sendOne()).outcome).toMatchObject({
      reason: 'connection',
      message: expect.stringContaining('closed'),
    });
  });

  test('a server that dies: what is in flight and what comes after', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      if (rig.server?.requests.length === 3) {
        rig.server.die();
      }
    });
    const round = await rig.send(8, { maxInFlight: 3 });
    expect(round.records).toHaveLength(8);
    expect(round.records.every((record) => record.outcome.state === 'failed')).toBe(true);
    expect(round.records.at(-1)?.outcome).toMatchObject({
      reason: 'connection',
      message: expect.stringContaining('ECONN'),
    });
  });

  test('a time-out, counted in the time of the server, for a stream that drips without end', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      while (!exchange.socket.destroyed) {
        await exchange.chunk(': ping\n\n');
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    });
    const record = await rig.sendOne({ requestTimeoutSeconds: 0.1 });
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
    await rig.connect(answer);
    expect((await rig.sendOne()).outcome).toMatchObject({
      reason: 'invalid-stream',
      message: expect.stringContaining(message),
    });
  });

  test('a proper stream in which nothing was generated', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(role);
      await exchange.event({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 0 } });
      await exchange.event('[DONE]');
      await exchange.endStream();
    });
    const record = await rig.sendOne();
    expect(record.outcome).toMatchObject({ reason: 'no-tokens' });
    expect(ttftSeconds(record)).toBeNull();
  });

  test('a token whose text is empty counts where there is no other', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(role);
      await exchange.event(token('', 'length'));
      await exchange.event({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } });
      await exchange.event('[DONE]');
      await exchange.endStream();
    });
    const record = await rig.sendOne();
    expect(record.outcome).toEqual({ state: 'ok' });
    expect(record.firstTokenAt).toBe(record.tokenTimes[0]);
  });

  test('a time-out for a stream of tokens without end', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      while (!exchange.socket.destroyed) {
        await exchange.event(token('x'));
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const record = await rig.sendOne({ requestTimeoutSeconds: 0.1 });
    expect(record.outcome).toMatchObject({ reason: 'timeout' });
    expect(record.text).toMatch(/^x+$/);
    await expect.poll(() => rig.server?.openConnections).toBe(0);
  });

  test('a kept-alive connection that dies as the next request goes out; it is not tried again', async () => {
    let count = 0;
    await rig.connect(async (exchange) => {
      count += 1;
      if (count === 2) {
        exchange.reset();
      } else {
        await goodAnswer(exchange);
      }
    });
    const { records } = await rig.send(3, { maxInFlight: 1 });
    expect(records.map(({ outcome }) => outcome.state)).toEqual(['ok', 'failed', 'ok']);
    expect(records[1]?.outcome).toMatchObject({ reason: 'connection' });
    expect(rig.server?.requests).toHaveLength(3);
  });

  test('an abort: what is in flight, what is not yet sent; nothing is left open', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token('x'));
      if (rig.server?.requests.length === 2) {
        rig.controller.abort(new Error('Ctrl-C'));
      }
    });
    const round = await rig.send(5, { maxInFlight: 2 });
    expect(round.interrupted).toBe(true);
    expect(round.records.map((record) => record.outcome)).toEqual(
      Array.from({ length: 5 }, () => ({ state: 'failed', reason: 'aborted', message: expect.any(String) })),
    );
    expect(round.records.map((record) => record.sentAt !== null)).toEqual([true, true, false, false, false]);
    await expect.poll(() => rig.server?.openConnections).toBe(0);
  });

  test('an abort before the first request', async () => {
    await rig.connect(goodAnswer);
    rig.controller.abort();
    expect((await rig.send(2)).records.map((record) => record.sentAt)).toEqual([null, null]);
    expect(rig.server?.requests).toHaveLength(0);
  });
});

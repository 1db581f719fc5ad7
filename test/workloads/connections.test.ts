import { describe, expect, test } from 'vitest';
import { MeasuringClient } from '../../workloads/measuring-client.js';
import { ServerUnreachableError } from '../../workloads/server-answer.js';
import { chunkOf, RawHttpServer } from '../fixtures/raw-http-server.js';
import { goodAnswer, MeasuringRig, token } from './measuring-rig.js';

const rig = new MeasuringRig();

describe('connections', () => {
  test('one that the server closes behind its answer is not used again', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream({ connection: 'close' });
      await exchange.event(token('x'));
      await exchange.event('[DONE]');
      await exchange.endStream();
      exchange.socket.end();
    });
    const round = await rig.send(4, { maxInFlight: 1 });
    expect(round.records.every((record) => record.outcome.state === 'ok')).toBe(true);
  });

  test('one that the server closes while idle is noticed and replaced', async () => {
    let closeAfter = true;
    await rig.connect(async (exchange) => {
      await goodAnswer(exchange);
      if (closeAfter) {
        closeAfter = false;
        exchange.socket.end();
      }
    });
    await rig.sendOne();
    await expect.poll(() => rig.server?.openConnections).toBe(0);
    expect((await rig.sendOne()).outcome).toEqual({ state: 'ok' });
  });

  test('one is made ready before a request is due, where those that were opened ahead are gone', {
    retry: 2,
  }, async () => {
    const server = await rig.connect(goodAnswer);
    const sending = rig.send(2, {}, [0.001, 0.5]);
    // Two opened ahead, and a spare one.
    await expect.poll(() => server.openConnections).toBe(3);
    await expect.poll(() => server.requests.length).toBe(1);
    server.resetConnections();
    const [, second] = (await sending).records;
    expect(second?.outcome).toEqual({ state: 'ok' });
    const request = server.requests[1];
    expect((request?.receivedAt ?? 0) - (request?.connectedAt ?? 0)).toBeGreaterThan(20);
  });

  test('an answer without framing ends with its connection', async () => {
    await rig.connect(async (exchange) => {
      await exchange.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n');
      await exchange.write(`data: ${JSON.stringify(token('x'))}\n\ndata: [DONE]\n\n`);
      exchange.socket.end();
    });
    expect(await rig.sendOne()).toMatchObject({ outcome: { state: 'ok' }, text: 'x' });
  });

  test('bytes behind an answer spoil the connection, not the answer', async () => {
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      await exchange.write(
        Buffer.concat([
          chunkOf(`data: ${JSON.stringify(token('x'))}\n\n`),
          chunkOf('data: [DONE]\n\n'),
          Buffer.from('0\r\n\r\nHTTP/1.1 200 OK\r\n'),
        ]),
      );
    });
    const round = await rig.send(3, { maxInFlight: 1 });
    expect(round.records.map((record) => record.outcome.state)).toEqual(['ok', 'ok', 'ok']);
  });

  test('requests that find none take the first that comes free or is opened', async () => {
    await rig.connect(goodAnswer);
    // A quarter of a second's worth is opened ahead: 15.
    const { records } = await rig.send(30, {}, new Array(30).fill(0.5));
    expect(records.map(({ outcome }) => outcome.state)).toEqual(new Array(30).fill('ok'));
    expect(rig.server?.requests).toHaveLength(30);
  });

  test('requests that find none and get none fail, each for itself', async () => {
    const server = await rig.connect(goodAnswer);
    setTimeout(() => server.die(), 100);
    const { records } = await rig.send(30, {}, new Array(30).fill(0.4));
    for (const { outcome } of records) {
      expect(outcome).toMatchObject({ state: 'failed', reason: 'connection' });
    }
  });

  test('nobody there: a clear error before the first request', async () => {
    const gone = await RawHttpServer.start(() => undefined);
    const { baseUrl } = gone;
    await gone.close();
    await expect(MeasuringClient.connect({ baseUrl, model: 'm' }, rig.controller.signal)).rejects.toThrow(
      ServerUnreachableError,
    );
    await expect(MeasuringClient.connect({ baseUrl: 'vllm:8000', model: 'm' }, rig.controller.signal)).rejects.toThrow(
      '"vllm:8000"',
    );
  });

  test('a simulator that does not say its speed is refused', async () => {
    rig.server = await RawHttpServer.start(() => undefined, { versionHeaders: { 'x-lmcache-ci-simulated': 'h200' } });
    await expect(
      MeasuringClient.connect({ baseUrl: rig.server.baseUrl, model: 'm' }, rig.controller.signal),
    ).rejects.toThrow('does not say its speed');
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ttftFromIntendedSeconds, ttftSeconds } from '../../workloads/request.js';
import { goodAnswer, MeasuringRig, role, token, USAGE } from './measuring-rig.js';

const rig = new MeasuringRig();

describe('a stream that goes well', () => {
  test('is recorded with its times in order, its tokens and its text', async () => {
    const gates: (() => void)[] = [];
    const gate = () => new Promise<void>((resolve) => gates.push(resolve));
    const started = rig.connect(async (exchange) => {
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
    const running = rig.sendOne();
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
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      const events = [role, token('Hé'), token('llo', 'stop'), { choices: [], usage: USAGE }, '[DONE]'];
      for (const byte of Buffer.from(
        events.map((data) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\r\n\r\n`).join(''),
      )) {
        await exchange.chunk(Uint8Array.of(byte));
      }
      await exchange.endStream();
    });
    expect(await rig.sendOne()).toMatchObject({ text: 'Héllo', completionTokens: 2, outcome: { state: 'ok' } });
  });

  test('arrives the same wherever it is cut, with comments, other fields and data over several lines', async () => {
    const halves = JSON.stringify(token('Hé')).split(':');
    const stream = Buffer.from(
      `: hello\r\nid: 1\r\ndata: ${halves.join(':\r\ndata: ')}\r\n\r\n: ping\n\ndata:${JSON.stringify(token('llo\u{1f600}', 'stop'))}\n\n` +
        `event: message\ndata: ${JSON.stringify({ choices: [], usage: USAGE })}\n\ndata: [DONE]\n\n`,
    );
    let cuts: readonly number[] = [];
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      const ends = [...new Set(cuts)].sort((a, b) => a - b);
      for (const [index, end] of [...ends, stream.length].entries()) {
        await exchange.chunk(stream.subarray(ends[index - 1] ?? 0, end));
      }
      await exchange.endStream();
    });
    const place = fc.integer({ min: 1, max: stream.length - 1 });
    await fc.assert(
      fc.asyncProperty(fc.array(place, { maxLength: 12 }), async (places) => {
        cuts = places;
        expect(await rig.sendOne()).toMatchObject({
          text: 'Héllo\u{1f600}',
          completionTokens: 2,
          outcome: { state: 'ok' },
        });
      }),
      { numRuns: 60 },
    );
  });

  test('may hold an event of 16 MB', async () => {
    const text = 'x'.repeat(16 * 1024 * 1024);
    await rig.connect(async (exchange) => {
      await exchange.startStream();
      await exchange.event(token(text));
      await exchange.event('[DONE]');
      await exchange.endStream();
    });
    const record = await rig.sendOne();
    expect(record.outcome).toEqual({ state: 'ok' });
    expect(record.text === text).toBe(true);
  });

  test('is sent over connections opened ahead, kept alive, used again, without a delay of small packets', async () => {
    const { connections, requests } = await rig.connect(goodAnswer);
    expect(connections).toBe(1);
    const round = await rig.send(12, { maxInFlight: 3 });
    expect(round.records.every((record) => record.outcome.state === 'ok')).toBe(true);
    expect(new Set(requests.map((request) => request.connection)).size).toBe(3);
    expect(rig.server?.connections).toBe(4);
    expect(requests[0]?.headers).toMatchObject({
      'content-type': 'application/json',
      host: `127.0.0.1:${rig.server?.port}`,
    });
  });

  test('never has more in flight than the limit, and each place is refilled at once', async () => {
    let inFlight = 0;
    let most = 0;
    await rig.connect(async (exchange) => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inFlight -= 1;
      await goodAnswer(exchange);
    });
    const round = await rig.send(40, { maxInFlight: 4 });
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
    await rig.connect(async (exchange) => {
      await new Promise((resolve) => setTimeout(resolve, 40));
      await goodAnswer(exchange);
    });
    const arrivals = [0.01, 0.02, 0.05];
    const open = await rig.send(3, {}, arrivals);
    for (const [index, record] of open.records.entries()) {
      expect(record.intendedStart).toBe(arrivals[index]);
      expect(record.sentAt).toBeGreaterThanOrEqual(record.intendedStart);
    }
    const [, second] = (await rig.send(2, { maxInFlight: 1 }, [0.001, 0.002])).records;
    expect(second?.sentAt).toBeGreaterThan(0.04);
    expect(second && ttftFromIntendedSeconds(second)).toBeGreaterThan((second && ttftSeconds(second)) ?? 1);
  });

  test('is measured in the time of a simulated server, and scheduled in it', async () => {
    await rig.connect(
      async (exchange) => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        await goodAnswer(exchange);
      },
      { versionHeaders: { 'x-lmcache-ci-simulated': 'h200', 'x-lmcache-ci-sim-speed': '50' } },
    );
    expect(rig.client?.simulated).toEqual({ profile: 'h200', speed: 50 });
    const before = performance.now();
    const round = await rig.send(1, {}, [5]);
    const wallSeconds = (performance.now() - before) / 1000;
    const [record] = round.records;
    expect(record?.sentAt).toBeGreaterThanOrEqual(5);
    expect(wallSeconds).toBeLessThan(5);
    expect(record && ttftSeconds(record)).toBeGreaterThan(1.45);
    expect(round.durationSeconds).toBeGreaterThan(6.45);
    expect(round.durationSeconds).toBeLessThanOrEqual(wallSeconds * 50);
  });
});

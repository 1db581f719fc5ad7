import { expect, test } from 'vitest';
import { type Measured, sendWorkload } from '../../../experiments/suite/send-workload.js';
import { MeasuringClient } from '../../../workloads/measuring-client.js';
import { RawHttpServer } from '../../fixtures/raw-http-server.js';
import { goodAnswer } from '../../workloads/measuring-rig.js';

const turn = (timestamp: number) => ({
  timestamp,
  conversation: 'c',
  context: '',
  question: 'And then?',
  contextLength: 0,
  queryLength: 4,
  maxTokens: 2,
});

async function send(turns: readonly ReturnType<typeof turn>[], serialisingMs: number) {
  const server = await RawHttpServer.start(async (exchange) => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    await goodAnswer(exchange);
  });
  const { signal } = new AbortController();
  const client = await MeasuringClient.connect({ baseUrl: server.baseUrl, model: 'm' }, signal);
  const prepare = client.prepare.bind(client);
  client.prepare = (...given) => {
    const until = performance.now() + serialisingMs;
    while (performance.now() < until);
    return prepare(...given);
  };
  const measured: Measured[] = [];
  try {
    const lagsMs = await sendWorkload(
      client,
      { requests: turns },
      { signal, requestTimeoutSeconds: 10, onMeasured: (one) => measured.push(one) },
    );
    return { lagsMs, records: measured.map(({ record }) => record) };
  } finally {
    client.close();
    await server.close();
  }
}

test('a turn of a conversation counts from its timestamp, on the clock of the whole conversation', async () => {
  const { records, lagsMs } = await send([turn(0), turn(0.01), turn(0.3)], 0);
  expect(records.map(({ intendedStart }) => intendedStart)).toEqual([0, 0.01, 0.3]);
  const [first, second, third] = records;
  // The answer before came 0.1 s later: only from then on it could be sent.
  expect(second?.readyAt).toBeGreaterThanOrEqual(first?.endedAt ?? Number.NaN);
  expect(second?.readyAt).toBeGreaterThan(0.09);
  // Never before its time; a machine under load may have the answer before it a little later.
  expect(third?.readyAt).toBeGreaterThan(0.3 - 1e-6);
  for (const [index, { sentAt, readyAt }] of records.entries())
    expect(((sentAt ?? Number.NaN) - readyAt) * 1000).toBeCloseTo(lagsMs[index] ?? Number.NaN, 3);
});

test('what the client takes to serialise a turn that is late counts as its lag', async () => {
  const { lagsMs } = await send([turn(0), turn(0)], 100);
  expect(lagsMs[0]).toBeLessThan(100);
  expect(lagsMs[1]).toBeGreaterThan(100);
});

import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ExternalEngine } from '../../experiments/external-engine.js';
import { listModels } from '../../workloads/server-api.js';
import { openBlackHole } from '../fixtures/black-hole.js';

const never = new AbortController().signal;
let hole: Awaited<ReturnType<typeof openBlackHole>>;

beforeEach(async () => {
  hole = await openBlackHole();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(async () => {
  vi.useRealTimers();
  await hole.close();
});

/** What it comes to once its limit of 5 s, and none of less, is over. */
async function afterFiveSeconds<Result>(asked: Promise<Result>): Promise<Result> {
  let isOver = false;
  const over = asked.finally(() => {
    isOver = true;
  });
  over.catch(() => undefined);
  while (vi.getTimerCount() === 0) await nextTurn();
  vi.advanceTimersByTime(4999);
  for (let turn = 0; turn < 10; turn += 1) await nextTurn();
  expect(isOver).toBe(false);
  vi.advanceTimersByTime(1);
  return over;
}

test('a question to an address that swallows everything ends after 5 s', async () => {
  const asked = listModels({ baseUrl: hole.url, model: '' }, never);
  await expect(afterFiveSeconds(asked)).rejects.toThrow(
    `GET ${hole.url}/v1/models got no answer: no connection within 5 s.`,
  );
});

test('so does the waiting for an external engine', async () => {
  const engine = new ExternalEngine('engine 0', hole.url);
  expect(await afterFiveSeconds(engine.waitUntilReady(300))).toBe(false);
  expect(engine.failure).toBe(
    `engine 0 at ${hole.url} cannot be reached: no connection within 5 s. Start the server first, or name where it is (--url).`,
  );
});

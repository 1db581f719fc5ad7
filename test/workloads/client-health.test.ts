import { expect, test } from 'vitest';
import { ClientWatch } from '../../workloads/client-health.js';

const lags = (slow: number): number[] => [...new Array<number>(200).fill(0.1), slow, slow, slow, slow];

test('a client that keeps up is not overloaded', () => {
  const health = new ClientWatch().stop(lags(4), [50]);
  expect(health).toMatchObject({
    sendLagMs: { p50: 0.1, p99: 4, max: 4 },
    sendLagBudgetMs: 5,
    overloaded: false,
    remedy: null,
  });
  expect(health.wallSeconds).toBeGreaterThan(0);
});

test('one that does not is, with the remedy', () => {
  const health = new ClientWatch().stop(lags(6), [50]);
  expect(health.overloaded).toBe(true);
  expect(health.remedy).toContain('6.0 ms late');
});

test('the budget is 2 % of the median TTFT where that is more than 5 ms', () => {
  expect(new ClientWatch().stop(lags(6), [400, 400, 9000])).toMatchObject({ sendLagBudgetMs: 8, overloaded: false });
  expect(new ClientWatch().stop(lags(9), [400, 400, 9000]).overloaded).toBe(true);
});

test('nothing sent: nothing late', () => {
  expect(new ClientWatch().stop([], [])).toMatchObject({ sendLagMs: { p50: 0, p99: 0, max: 0 }, overloaded: false });
});

test('a blocked event loop shows', async () => {
  const watch = new ClientWatch();
  await new Promise((resolve) => setTimeout(resolve, 30));
  const until = performance.now() + 80;
  const cpuAtStart = process.cpuUsage();
  // On a busy machine 80 ms may hold much less CPU time.
  while (performance.now() < until || process.cpuUsage(cpuAtStart).user < 60_000);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const health = watch.stop([], []);
  expect(health.eventLoopDelayMs.max).toBeGreaterThan(50);
  expect(health.cpuSeconds).toBeGreaterThan(0.05);
});

test('an event loop that is always late is an overload, although nothing left late', async () => {
  const watch = new ClientWatch();
  for (let turn = 0; turn < 10; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    const until = performance.now() + 30;
    while (performance.now() < until);
  }
  const health = watch.stop(lags(1), [50]);
  expect(health.overloaded).toBe(true);
  expect(health.remedy).toMatch(/^The event loop was \d+\.\d ms late \(p50; 10\.0 ms allowed\): send fewer at once/);
});

test('several threads: judged by the worst of them, and more of them are the remedy', () => {
  const quiet = { p50: 0.1, p99: 0.2, max: 0.3 };
  const thread = (p99: number, p50 = 0.1) => ({
    requests: 100,
    sendLagMs: { ...quiet, p99 },
    eventLoopDelayMs: { p50, p99: p50, max: p50 },
  });
  const stop = (...threads: ReturnType<typeof thread>[]) =>
    new ClientWatch().stop(lags(1), [50], { threads, tryWorkers: 6 });
  expect(stop(thread(1), thread(2), thread(4.9, 9))).toMatchObject({
    overloaded: false,
    eventLoopDelayMs: { p50: 9 },
    threads: [{ requests: 100 }, {}, {}],
  });
  const late = stop(thread(1), thread(7), thread(2));
  expect(late.overloaded).toBe(true);
  expect(late.remedy).toBe(
    'Requests left 7.0 ms late (p99 of a thread; 5.0 ms allowed): send fewer at once, give the client a core of its own, or send from more threads (--workers 6).',
  );
  expect(stop(thread(1), thread(1, 11)).overloaded).toBe(true);
});

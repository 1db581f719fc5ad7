import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { BenchProgress } from '../../pipeline/commands/bench-progress.js';
import type { RequestRecord } from '../../workloads/request.js';

const record = (ttft: number, gap: number): RequestRecord => ({
  index: 0,
  intendedStart: 0,
  readyAt: 0,
  sentAt: 0,
  bodySentAt: 0,
  headersAt: ttft,
  firstByteAt: ttft,
  firstTokenAt: ttft,
  tokenTimes: Float64Array.from({ length: 40 }, (_, token) => ttft + gap * token),
  endedAt: ttft + gap * 40,
  status: 200,
  promptTokens: 1,
  completionTokens: 40,
  cachedTokens: null,
  finishReason: 'length',
  text: '',
  outcome: { state: 'ok' },
});

function show(isTTY: boolean): string {
  const output = Object.assign(new PassThrough(), { isTTY, columns: 200 }) as unknown as NodeJS.WriteStream;
  const progress = new BenchProgress(output, { backend: 'openai', numPrompts: 4, requestRate: 8 });
  const state = { phase: 'requests', total: 4, failed: 1, inFlight: 2, figures: {} };
  progress.update({ ...state, done: 0 });
  // More than two thousand: those at the beginning count as much as the latest.
  for (let count = 0; count < 1200; count += 1) progress.record(record(0.05, 0.01));
  for (let count = 0; count < 1000; count += 1) progress.record(record(0.07, 0.01));
  progress.update({ ...state, done: 3 });
  progress.update({ ...state, done: 4 });
  return String((output as unknown as PassThrough).read());
}

test('on a terminal one line shows rate asked and delivered, percentiles, failures, what is left', () => {
  const text = show(true);
  expect(text.split('\n')).toHaveLength(2);
  const [, , during = '', end = ''] = text.split('\r\u001b[2K');
  expect(during).toMatch(
    /^requests 3\/4, 2 in flight, \d+\.\d of 8 req\/s, TTFT ms p50 50\.0 p99 70\.0, TPOT ms p50 10\.0 p99 10\.0, ITL ms p50 10\.0 p99 10\.0, 1 failed, ETA \d+ s$/,
  );
  expect(end).toContain('requests 4/4');
});

test('elsewhere only now and then a plain line', () => {
  const text = show(false);
  expect(text.trimEnd().split('\n')).toHaveLength(1);
  expect(text).not.toContain('\u001b');
});

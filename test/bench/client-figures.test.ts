import { expect, test } from 'vitest';
import { type ClientSample, formatMedians, formatRatios } from '../../bench/client-figures.js';

const sample = (client: string, values: Partial<ClientSample> = {}): ClientSample => ({
  case: 'stream-64',
  client,
  failed: 0,
  ttftErrorMedian: 1,
  ttftErrorP99: 2,
  cpuUsPerToken: 10,
  wallSeconds: 5,
  firstToLastByteSeconds: 4,
  startSeconds: 0.5,
  peakMiB: 100,
  ...values,
});

test('medians have their spread and the number of runs', () => {
  const table = formatMedians([
    sample('ours'),
    sample('ours', { startSeconds: 0.7, failed: 3 }),
    sample('ours', { startSeconds: 0.4 }),
    sample('vllm-rust', { peakMiB: 43.4 }),
  ]);
  expect(table.split('\n').slice(2)).toEqual([
    '| stream-64 | ours | 3 | 3 | 1.00 (1.00-1.00) | 2.00 (2.00-2.00) | 10.0 (10.0-10.0) | 5.00 (5.00-5.00) | 4.00 (4.00-4.00) | 0.50 (0.40-0.70) | 100 (100-100) |',
    '| stream-64 | vllm-rust | 1 | 0 | 1.00 (1.00-1.00) | 2.00 (2.00-2.00) | 10.0 (10.0-10.0) | 5.00 (5.00-5.00) | 4.00 (4.00-4.00) | 0.50 (0.50-0.50) | 43 (43-43) |',
  ]);
});

test('ratios say what is met and what is missed', () => {
  const table = formatRatios([
    sample('ours', { ttftErrorP99: -2 }),
    sample('vllm-python', { cpuUsPerToken: 81, ttftErrorP99: 19, startSeconds: 4, peakMiB: 1000 }),
    sample('vllm-rust', { cpuUsPerToken: 10, ttftErrorP99: 1, startSeconds: 0.24, peakMiB: 99.8 }),
  ]);
  expect(table.split('\n').slice(2)).toEqual([
    '| stream-64 | CPU a token, us | 10.0 | 1/8.1 (at most 1/8): met | 1.00 (at most 1): met |',
    '| stream-64 | TTFT error, p99 ms | 2.00 | 1/9.5 (at most 1/10): **missed** | 2.00 (at most 1): **missed** |',
    '| stream-64 | start, s | 0.50 | 1/8.0 (at most 1/8): met | 2.08 (at most 2): **missed** |',
    '| stream-64 | peak, MiB | 100 | 1/10.0 (at most 1/5): met | 1.00 (at most 1): met |',
  ]);
  expect(formatRatios([sample('ours')])).toContain('| 10.0 |  |  |');
});

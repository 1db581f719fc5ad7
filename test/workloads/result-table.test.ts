import { expect, test } from 'vitest';
import type { BenchServeJson } from '../../workloads/bench/result-json.js';
import { formatBenchTable, pythonFixed2 } from '../../workloads/bench/result-table.js';
import recorded from '../fixtures/workloads/bench-runs.json' with { type: 'json' };

test.each(recorded.cases)(
  'the table of vllm bench serve, made from its own file: $name',
  ({ file, table, percentiles }) => {
    expect(formatBenchTable(file as unknown as BenchServeJson, percentiles)).toBe(table);
  },
);

test.each([
  [0.125, '0.12'],
  [0.375, '0.38'],
  [2.5, '2.50'],
  [1.005, '1.00'],
  [1234.565, '1234.57'],
  [0, '0.00'],
])('%d as Python formats it', (value, text) => {
  expect(pythonFixed2(value)).toBe(text);
});

import { expect } from 'vitest';
import { measuringTest as test } from '../end-to-end/bench.js';
import { directories, prepare, summaryOf } from '../end-to-end/sweep-files.js';

test('four simulated GPUs are kept busy to at least 90 % of the ideal packing', async ({ bench }) => {
  const caches = Array.from({ length: 8 }, (_, index) => index + 1).join(', ');
  const yaml = `tag: packed
log_base_dir: OUT
experiments: {datasets: [{path: data/talk.csv, cache_sizes: [${caches}], request_rates: [1]}]}
`;
  const file = await prepare(bench, yaml);
  const run = await bench.run(['sweep', '--yaml', file, '--gpus', '4', '--sim-speed', '10']);
  expect(run.code, run.output).toBe(0);
  const ran = summaryOf(directories(file)[0] ?? '').experiments.flatMap(({ result }) =>
    result.outcome === 'successful' ? [result] : [],
  );
  expect(ran).toHaveLength(8);
  const starts = ran.map(({ startedAt }) => Date.parse(startedAt));
  const ends = ran.map(({ finishedAt }) => Date.parse(finishedAt));
  const makespan = (Math.max(...ends) - Math.min(...starts)) / 1000;
  const busy = ran.reduce((sum, { executionSeconds }) => sum + executionSeconds, 0);
  const ideal = Math.max(busy / 4, ...ran.map(({ executionSeconds }) => executionSeconds));
  expect(ideal / makespan).toBeGreaterThanOrEqual(0.9);
});

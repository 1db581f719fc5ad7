import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { measuringTest as test } from '../end-to-end/bench.js';
import { launched, ok, unnamed } from '../end-to-end/manual-steps.js';

test('the long manual sequence of the original suite: infrastructure, every test, cleanup, without BUILD_ID', async ({
  bench,
}) => {
  await ok(bench, 'build-mp-docker-image', { ...unnamed, RESULTS_DIR: path.join(bench.directory, 'build') });
  await ok(bench, 'launch-containers');
  const { resultsDir } = launched(bench);
  for (const script of ['wait-for-vllm', 'run-lm-eval', 'run-vllm-bench', 'run-long-doc-qa', 'cleanup'])
    await ok(bench, script);
  expect(bench.record(resultsDir).steps.map(({ name }) => name)).toEqual([
    'launch-containers',
    'wait-for-vllm',
    'lm-eval',
    'vllm-bench',
    'long-doc-qa',
    'cleanup',
  ]);
  expect(readdirSync(path.join(resultsDir, 'vllm_bench'))).toEqual(['baseline.json', 'lmcache.json']);
});

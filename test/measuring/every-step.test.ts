import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { measuringTest as test } from '../end-to-end/bench.js';
import { launched, ok, unnamed } from '../end-to-end/manual-steps.js';
import { migrationSection } from '../end-to-end/migration-page.js';

/** As docs/migration.md has them, in their order. */
const scripts = migrationSection('bash suite').commands.flatMap(
  (command) => /^npx zx steps\/(.*)\.mjs$/.exec(command)?.[1] ?? [],
);

test('the long manual sequence of the original suite: infrastructure, every test, cleanup, without BUILD_ID', async ({
  bench,
}) => {
  const [build = '', launch = '', ...rest] = scripts;
  await ok(bench, build, { ...unnamed, RESULTS_DIR: path.join(bench.directory, 'build') });
  await ok(bench, launch);
  const { resultsDir } = launched(bench);
  for (const script of rest) await ok(bench, script);
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

import { expect } from 'vitest';
import type { Bench, Environment } from './bench.js';

/** As a person at a terminal: nothing says which run is meant. */
export const unnamed: Environment = { BUILD_ID: undefined, RESULTS_DIR: undefined };

/** A step's script, which must pass; what it said. */
export async function ok(bench: Bench, script: string, environment: Environment = unnamed): Promise<string> {
  const ended = await bench.zx(script, environment);
  expect(ended.code, `${script}: ${ended.output}`).toBe(0);
  return ended.stdout;
}

/** The one run that launch-containers has left up. */
export function launched(bench: Bench) {
  const { buildId, resultsDir, mode, ports } = bench.liveRun();
  expect(buildId).toMatch(/^local_\d{8}_\d{6}_\d{3}$/);
  expect(resultsDir).toBe(`/tmp/lmcache_ci_results_${buildId}`);
  expect(mode).toBe('detached');
  bench.removeLater(resultsDir);
  return { buildId, resultsDir, ports };
}

import { expect } from 'vitest';
import { measuringTest as test } from '../end-to-end/bench.js';

test('a first token that comes too late ends with exit code 1, and by how much is said', async ({ bench }) => {
  const resultOf = (step: string) => bench.record().steps.find(({ name }) => name === step)?.result;
  const ended = await bench.run(['mp-test', '--only', 'long-doc-qa'], { MAX_LMCACHE_TTFT: '0.0001' });
  expect(ended.code, ended.output).toBe(1);
  expect(ended.stdout).toMatch(/Query TTFT with LMCache: 0\.\d+ s, required is <= 0\.0001 s \(\d+ % beyond it\)/);
  expect(ended.stdout).toMatch(/FAILED \[SIMULATED\].*\(regression, exit code 1\)/);
  expect(bench.record()).toMatchObject({
    verdict: { outcome: 'failed', exitCode: 1, reason: 'regression', cause: 'threshold', step: 'long-doc-qa' },
  });
  expect(resultOf('long-doc-qa')).toMatchObject({
    verdicts: expect.arrayContaining([
      expect.objectContaining({ threshold: 0.0001, comparison: '<=', outcome: 'failed' }),
    ]),
  });
  // Cleaned up all the same, and the end of every engine's log is shown.
  expect(resultOf('cleanup')).toMatchObject({ outcome: 'passed' });
  for (const name of ['lmcache-mp-test', 'vllm-mp-test', 'vllm-baseline-test'])
    expect(ended.stdout).toContain(`logs/${name}-${bench.buildId}.log (last `);
});

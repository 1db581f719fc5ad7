import { existsSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Bench, test } from './bench.js';

function resultOf(bench: Bench, step: string) {
  return bench.record().steps.find(({ name }) => name === step)?.result;
}

describe('what is wrong with the code under test ends with exit code 1', () => {
  test.for(['lm-eval', 'vllm-bench', 'long-doc-qa'])('a cache that stores nothing, in %s', async (step, { bench }) => {
    const ended = await bench.run(['mp-test', '--only', step], { SIM_FAULT: 'no-cache' });
    expect(ended.code, ended.output).toBe(1);
    expect(bench.record().verdict).toMatchObject({ reason: 'cache-not-exercised', step });
    expect(ended.stdout).toContain(`${step} failed: cache-not-exercised`);
  });

  test('other text from the cache, with the samples side by side', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--only', 'lm-eval'], { SIM_FAULT: 'wrong-text-from-cache' });
    expect(ended.code, ended.output).toBe(1);
    expect(bench.record().verdict).toMatchObject({ reason: 'incorrect-output', cause: 'output-differs' });
    expect(ended.stdout).toMatch(
      /Samples that differ between the two runs: 8 samples \(of 8\), required is == 0 samples/,
    );
    expect(ended.stdout).toContain('first run');
    expect(ended.stdout).toContain('second run');
    expect(resultOf(bench, 'lm-eval')).toMatchObject({
      evidence: expect.arrayContaining([expect.stringMatching(/./)]),
    });
  });
});

describe('a failing test', () => {
  test('ends the run at once, and with --keep-going only at its end', async ({ bench }) => {
    const environment = { SIM_FAULT: 'wrong-text-from-cache' };
    const args = ['mp-test', '--skip', 'vllm-bench'];
    expect(await bench.run(args, environment)).toMatchObject({ code: 1 });
    const names = () => bench.record().steps.map(({ name }) => name);
    expect(names()).toEqual(['build-image', 'launch-containers', 'wait-for-vllm', 'lm-eval', 'cleanup']);
    await bench.expectNothingLeft();

    const ended = await bench.run([...args, '--keep-going'], environment);
    expect(ended.code, ended.output).toBe(1);
    expect(names()).toEqual(['build-image', 'launch-containers', 'wait-for-vllm', 'lm-eval', 'long-doc-qa', 'cleanup']);
    // The finished run of the same id was moved out of the way, not overwritten.
    expect(existsSync(`${bench.resultsDir}.1/run.json`)).toBe(true);
  });
});

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { planSweep } from '../../pipeline/commands/sweep-plan.js';
import { simulatedGpuCount } from '../../pipeline/commands/sweep-settings.js';
import { gpuTable, successText } from '../../pipeline/commands/sweep-view.js';
import { UsageError } from '../../pipeline/usage-error.js';
import { sampleSweep } from '../report/sample-sweep.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sweep-plan-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('a plan', () => {
  it('of a broken file is a usage error with its place, and nothing is made', async () => {
    const file = join(directory, 'sweep.yaml');
    const broken = fc.oneof(
      fc.constantFrom('', '[', 'experiments: 1', 'tag: [', '- a', 'experiments: &a {datasets: *a}', '!!int x', '\t- 1'),
      fc.record({ key: fc.string({ minLength: 1 }), value: fc.jsonValue() }).map(({ key, value }) => {
        return `${JSON.stringify(key)}: ${JSON.stringify(value)}\n`;
      }),
      fc.integer({ max: 0 }).map((value) => `experiments: {datasets: [{path: sweep.yaml, cache_sizes: [${value}]}]}`),
    );
    await fc.assert(
      fc.asyncProperty(broken, async (text) => {
        writeFileSync(file, text);
        const error: unknown = await planSweep({ yaml: file }).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(UsageError);
        expect((error as UsageError).exitCode).toBe(2);
        expect((error as UsageError).message).toMatch(/^.*sweep\.yaml:\d+:\d+: .*[\s\S]*\nNothing was started\.$/);
        expect(readdirSync(directory)).toEqual(['sweep.yaml']);
      }),
      { numRuns: 60 },
    );
  });

  it('of a data set in no known form is one too', async () => {
    const file = join(directory, 'sweep.yaml');
    writeFileSync(join(directory, 'odd.bin'), 'odd');
    writeFileSync(file, 'experiments: {datasets: [{path: odd.bin}]}');
    await expect(planSweep({ yaml: file })).rejects.toThrow(
      /sweep\.yaml:1:33: path: ".*odd\.bin": is no trace that is known/,
    );
  });
});

it('a simulated machine has as many GPUs as asked for, or enough for the widest experiment', () => {
  expect(simulatedGpuCount(5, 1)).toBe(5);
  expect(simulatedGpuCount(0, 16)).toBe(16);
  expect(simulatedGpuCount(0, 1)).toBeGreaterThanOrEqual(1);
  expect(simulatedGpuCount(0, 1)).toBeLessThanOrEqual(8);
});

it('the table shows each GPU with what runs there, and what is left', () => {
  const running = {
    name: 'a_64gb_1rps_lru',
    gpus: [0, 1],
    stage: 'replay' as const,
    progress: { done: 3, total: 10, failed: 1, inFlight: 2 },
    startedAtMs: performance.now() - 5000,
    estimatedSeconds: 20,
  };
  const state = { gpuCount: 3, running: [running], waiting: 4, successful: 2, failed: 1, total: 8, leftSeconds: 75 };
  const [first, second, third, totals] = gpuTable(state).split('\n');
  expect(first).toMatch(/^GPU 0 {2}a_64gb_1rps_lru {2}replaying {2}3\/10 answered, 2 in flight, 1 failed {2}5\.\d+ s$/);
  expect(second).toContain('a_64gb_1rps_lru');
  expect(third).toBe('GPU 2  free');
  expect(totals).toBe('3/8 experiments done (1 failed), 1 running, 4 waiting, about 75.0 s left');
});

it("an experiment's line tells what went through it, with mock_decoding that of the prompts", () => {
  const grid = { dataset: 'a.csv', cacheSizes: [64], requestRates: [1], evictions: [false] };
  const result = sampleSweep([grid]).experiments[0]?.result;
  if (result?.outcome !== 'successful') throw new Error('the sample has succeeded');
  const { outputThroughput, totalTokenThroughput } = result.measurement;
  const rate = (text: string) => Number(/, ([\d,]+(?:\.\d+)?) tok\/s/.exec(text)?.[1]?.replaceAll(',', ''));
  expect(rate(successText(result, false))).toBeCloseTo(outputThroughput, 0);
  expect(rate(successText(result, true))).toBeCloseTo(totalTokenThroughput, 0);
  expect(successText(result, true)).toContain('tok/s with prompts, hit rate GPU');
});

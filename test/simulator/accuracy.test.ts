import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { comparisonsOf, RECORDING_SETS } from '../../docs/recorded-comparisons.js';
import { renderAccuracy, renderAccuracyPlot, withAccuracy } from '../../docs/simulator-accuracy.js';
import { type Comparison, errorsOf } from '../../simulator/calibration/compare.js';

/**
 * The simulator against recordings of real engines, recomputed. `validation` are the cases that no constant was fitted
 * on: the prompt lengths and batch sizes between the fitted ones, and all rounds of queries and of the engine with LMCache.
 */
const describeError = ({ label, predicted, measured, unit, error }: Comparison): string =>
  `${label}: ${predicted} ${unit} predicted, ${measured} measured, ${(error * 100).toFixed(1)} %`;

/** Computed once for all tests of this file. */
const known = new Map<string, Promise<readonly Comparison[]>>();
const comparisons = (set: string): Promise<readonly Comparison[]> => {
  const found = known.get(set) ?? comparisonsOf(set);
  known.set(set, found);
  return found;
};

/** Repetitions that differ by more than this have no median to meet: the prediction must lie among them. */
const SCATTERED = 1.35;

/** The error, or how far the prediction lies outside of repetitions that scatter. */
function honestError({ error, spread, predicted }: Comparison): number {
  if (spread === null || spread[1] / spread[0] <= SCATTERED) return Math.abs(error);
  const [least, most] = spread;
  if (predicted < least) return 1 - predicted / least;
  return predicted > most ? predicted / most - 1 : 0;
}

describe.each(['h200', 'h200-batch-invariant'] as const)('profile %s', (set) => {
  let all: readonly Comparison[] = [];
  beforeAll(async () => {
    all = await comparisons(set);
  });
  const of = (group: Comparison['group']) => all.filter((entry) => entry.group === group);

  it('meets recorded TTFTs, cold and from each cache: median error at most 5 %, worst 15 %', () => {
    expect(of('TTFT')).toHaveLength(30);
    for (const part of ['training', 'validation']) {
      const own = of('TTFT').filter((entry) => entry.part === part);
      expect(own.length).toBeGreaterThan(10);
      expect(errorsOf(own).median, part).toBeLessThanOrEqual(0.05);
      for (const entry of own) expect(honestError(entry), describeError(entry)).toBeLessThanOrEqual(0.15);
    }
  });

  it('meets recorded decode steps over the batch within 5 %', () => {
    expect(of('decode step')).toHaveLength(8);
    for (const entry of of('decode step'))
      expect(Math.abs(entry.error), describeError(entry)).toBeLessThanOrEqual(0.05);
  });

  it('meets the long-document figures of both servers within 5 %, all but the fitted warm-up as validation', () => {
    const own = of('long-doc QA');
    expect(own).toHaveLength(8);
    expect(own.filter(({ part }) => part === 'validation')).toHaveLength(7);
    for (const entry of own) expect(Math.abs(entry.error), describeError(entry)).toBeLessThanOrEqual(0.05);
  });

  it('meets the throughput of the bench within 5 %', () => {
    expect(of('bench')).toHaveLength(2);
    for (const entry of of('bench')) expect(Math.abs(entry.error), describeError(entry)).toBeLessThanOrEqual(0.05);
  });
});

describe('with a mock L2 of 4 GiB a second behind an L1 that keeps nothing', () => {
  let own: readonly Comparison[] = [];
  let baseline: readonly Comparison[] = [];
  beforeAll(async () => {
    own = await comparisons('h200-l2-mock');
    baseline = (await comparisons('h200')).filter(({ engine }) => engine === 'baseline');
  });
  const predicted = (entries: readonly Comparison[], what: string): number =>
    entries.find(({ label }) => label.endsWith(what))?.predicted ?? Number.NaN;

  it('meets the recorded 0.553 s, 0.653 s and warm-up within 5 %', () => {
    expect(own.map(({ measured }) => Number(measured.toPrecision(3)))).toEqual(
      expect.arrayContaining([0.553, 0.653, 0.964]),
    );
    for (const entry of own) expect(Math.abs(entry.error), describeError(entry)).toBeLessThanOrEqual(0.05);
  });

  it("passes upstream's gates: the round gains 1.3, TTFT 1.5, the warm-up loses less than 1.2", () => {
    const ratio = (what: string): number => predicted(baseline, what) / predicted(own, what);
    expect(ratio('queries, TTFT')).toBeGreaterThan(1.5);
    // Of two figures that are each within 5 %, one without an L2 between them.
    expect(Math.abs(ratio('queries, TTFT') / (1.2576 / 0.553) - 1)).toBeLessThan(0.1);
    expect(ratio('queries, round time a prompt')).toBeGreaterThan(1.3);
    expect(1 / ratio('warm-up, round time a prompt')).toBeLessThan(1.2);
    expect(1 / ratio('warm-up, round time a prompt') / 1.003).toBeCloseTo(1, 1);
  });
});

describe.each([
  // Prompts from a cache took this one a fifth less than the other model on the same machine: no constant meets both.
  ['qwen3-14b', 0.09, 0.24],
  ['qwen3-8b', 0.055, 0.17],
] as const)('%s on another machine, of other sizes and arrivals', (folder, medianOfAll, worstOfAll) => {
  let all: readonly Comparison[] = [];
  beforeAll(async () => {
    all = await comparisons(`h200-blind/${folder}`);
  });
  const of = (group: Comparison['group']) => all.filter((entry) => entry.group === group);
  const meetWithin = (limit: number, entries: readonly Comparison[]): void => {
    for (const entry of entries) expect(Math.abs(entry.error), describeError(entry)).toBeLessThanOrEqual(limit);
  };

  it('meets TTFTs of cold prompts, of 500 to 24,000 tokens: median error at most 5 %, worst 15 %', () => {
    const texts = of('TTFT').filter(({ label }) => label.includes(' tokens, '));
    const cold = texts.filter(({ label }) => label.endsWith('cold'));
    expect(cold).toHaveLength(6);
    expect(errorsOf(cold).median).toBeLessThanOrEqual(0.05);
    meetWithin(0.15, cold);
    // With both caches they hang on the host, which differs by machine and by run.
    expect(texts).toHaveLength(18);
    expect(errorsOf(texts).median).toBeLessThanOrEqual(medianOfAll);
    expect(errorsOf(texts).worst).toBeLessThanOrEqual(worstOfAll);
  });

  it('meets the mean TTFT of 24 prompts at once, and of prompts that come by chance, within 5 %', () => {
    expect(of('arrivals').map(({ label }) => label)).toEqual([
      'lmcache, burst, mean TTFT',
      'lmcache, burst, ITL (median error of a request)',
      'lmcache, poisson, mean TTFT',
      'lmcache, poisson, ITL (median error of a request)',
    ]);
    meetWithin(0.05, of('arrivals'));
  });

  it('meets decode steps of 1 to 80 sequences, and of contexts to 24,000 tokens, within 5 %', () => {
    expect(of('decode step')).toHaveLength(6);
    meetWithin(0.05, of('decode step'));
  });

  it('meets the long-document rounds, their TTFT and their ITL within 5 %', () => {
    expect(of('long-doc QA')).toHaveLength(4);
    meetWithin(0.05, of('long-doc QA'));
  });
});

/**
 * Recordings of a fourth machine, which the constants were fitted to beside the others, and of a fifth one, taken when all
 * was fixed. TTFT out of caches hangs on the host, which differs by machine and by process; the rest is held to the limits
 * of the first machine, but for what is named here.
 */
describe.each([
  { folder: 'h200-fourth/qwen3-14b', ttft: [0.1, 0.4] },
  { folder: 'h200-fourth/qwen3-14b-baseline', ttft: [0.07, 0.25] },
  { folder: 'h200-fourth/llama-3.1-8b', ttft: [0.06, 0.3], arrivals: 0.08 },
  { folder: 'h200-fourth/qwen3-4b', ttft: [0.07, 0.5], arrivals: 0.12 },
  { folder: 'h200-fourth-batch-invariant/qwen3-14b', ttft: [0.07, 0.3], queries: 0.08 },
  { folder: 'h200-fourth-batch-invariant/qwen3-8b', ttft: [0.1, 0.25], queries: 0.1 },
  { folder: 'h200-fifth/qwen3-14b', ttft: [0.05, 0.15] },
  { folder: 'h200-fifth/qwen3-8b', ttft: [0.05, 0.3], arrivals: 0.12, queries: 0.09 },
  { folder: 'h200-fifth/qwen3-32b', ttft: [0.05, 0.25] },
  { folder: 'h200-fifth-batch-invariant/qwen3-8b', ttft: [0.05, 0.25] },
] as const)('$folder', ({ folder, ...limits }) => {
  const { ttft, arrivals, queries } = { arrivals: 0.05, queries: 0.05, ...limits };
  let all: readonly Comparison[] = [];
  beforeAll(async () => {
    all = await comparisons(folder);
  });
  const worstOf = (pick: (entry: Comparison) => boolean): number => errorsOf(all.filter(pick)).worst;

  it('meets cold TTFTs with a median error of at most 5 %, and all of them within its limits', () => {
    const texts = all.filter(({ group, label }) => group === 'TTFT' && label.includes(' tokens, '));
    expect(texts.length).toBeGreaterThan(11);
    expect(errorsOf(texts.filter(({ label }) => label.endsWith('cold'))).median).toBeLessThanOrEqual(0.05);
    const { median, worst } = errorsOf(texts);
    expect(median).toBeLessThanOrEqual(ttft[0]);
    expect(worst).toBeLessThanOrEqual(ttft[1]);
  });

  it('meets decode steps within 8 %, half of them within 5', () => {
    const { median, worst } = errorsOf(all.filter(({ group }) => group === 'decode step'));
    expect(median).toBeLessThanOrEqual(0.05);
    expect(worst).toBeLessThanOrEqual(0.08);
  });

  it('meets rounds under load: ITL and round times within 5 %, mean TTFT within its limits', () => {
    const loaded = all.filter(({ group }) => group === 'arrivals' || group === 'long-doc QA');
    const late = loaded.filter(({ label }) => !label.includes('TTFT'));
    for (const entry of late) expect(Math.abs(entry.error), describeError(entry)).toBeLessThanOrEqual(0.05);
    if (loaded.length === 0) return;
    expect(worstOf(({ label }) => label.endsWith('mean TTFT'))).toBeLessThanOrEqual(arrivals);
    if (!loaded.some(({ group }) => group === 'long-doc QA')) return;
    expect(worstOf(({ label }) => label.endsWith('queries, TTFT'))).toBeLessThanOrEqual(queries);
  });
});

it('meets rounds of documents that an L1 has lost before they are asked for again, within 5 %', async () => {
  const all = await comparisons('h200-fourth/llama-3.1-8b-again');
  expect(all.map(({ measured }) => Number(measured.toPrecision(3)))).toEqual([0.45, 0.743, 0.455, 10.9]);
  for (const entry of all) expect(Math.abs(entry.error), describeError(entry)).toBeLessThanOrEqual(0.05);
});

it('is what docs/simulator.md and its plot show (else: npm run docs:simulator)', async () => {
  const data = await Promise.all(
    RECORDING_SETS.map(async (set) => ({ ...set, comparisons: await comparisons(set.folder) })),
  );
  const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
  const page = read('simulator.md');
  expect(withAccuracy(page, renderAccuracy(data))).toBe(page);
  expect(renderAccuracyPlot(data)).toBe(read('simulator-accuracy.svg'));
});

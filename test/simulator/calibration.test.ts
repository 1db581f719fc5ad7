import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { RecordedCase, RoundCase, StepCase, TtftCase } from '../../simulator/calibration/cases.js';
import { compare } from '../../simulator/calibration/compare.js';
import { constantAt, constantsOf, FITTED_CONSTANTS, withConstants } from '../../simulator/calibration/constants.js';
import { crossValidate } from '../../simulator/calibration/cross-validate.js';
import { fitProfile } from '../../simulator/calibration/fit.js';
import { costAt, leastErrors, startsAround } from '../../simulator/calibration/least-errors.js';
import { predictRounds, predictStep, predictTtft } from '../../simulator/calibration/predict.js';
import { openRecordings, type Recording } from '../../simulator/calibration/recording.js';
import { split } from '../../simulator/calibration/split.js';
import { loadProfile, profileFile, profileOf } from '../../simulator/profiles.js';
import { openStudyEngine } from '../../simulator/study/study-engine.js';
import { runSuiteStudy } from '../../simulator/study/suite-study.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/recordings/h200/', import.meta.url));

/** What was recorded of Qwen3-14B, all of it training. */
function recordingOf(cases: readonly RecordedCase[]): Recording {
  const model = loadProfile('h200').model('Qwen/Qwen3-14B');
  return {
    name: 'made up',
    folder: '/made/up',
    model,
    cases: cases.map((entry) => ({ entry, part: 'training' })),
    simulatedBy: null,
    predictedBy: (profile) => ({ profile, model }),
  };
}

describe('a prediction of TTFT', () => {
  const profile = loadProfile('h200');
  const predicted = { profile, model: profile.model('Qwen/Qwen3-14B') };
  const prompts = (
    cachedIn: TtftCase['cachedIn'],
    ...sizes: readonly (readonly [promptTokens: number, cachedTokens: number | null])[]
  ): TtftCase => ({
    kind: 'ttft',
    engine: 'lmcache',
    cachedIn,
    repetitions: sizes.map(([promptTokens, cachedTokens]) => ({ promptTokens, cachedTokens, seconds: 1 })),
  });
  const ttft = (...given: Parameters<typeof prompts>): number => predictTtft(predicted, prompts(...given));

  it('takes each repetition as long as it was, and of them the median', async () => {
    const lengths = [9000, 4000, 3800, 4200].map((tokens) => [tokens, 0] as const);
    const ownTtfts = [3800, 4000, 4200, 9000].map((tokens) => ttft('none', [tokens, 0]));
    expect(ttft('none', ...lengths)).toBe(((ownTtfts[1] ?? 0) + (ownTtfts[2] ?? 0)) / 2);
    const [comparison] = await compare(predicted, split([prompts('none', ...lengths)]));
    expect(comparison?.label).toBe('lmcache, 4100 tokens, cold');
  });

  it('takes as cached what the server told, and what whole blocks and chunks hold where it did not', () => {
    expect(ttft('gpu', [4000, null])).toBe(ttft('gpu', [4000, 3984]));
    expect(ttft('lmcache', [4000, null])).toBe(ttft('lmcache', [4000, 3840]));
    expect(ttft('lmcache', [4000, 2048])).toBeGreaterThan(ttft('lmcache', [4000, 3840]));
    expect(ttft('lmcache', [4000, 0])).toBe(ttft('none', [4000, 0]));
  });
});

describe('a prediction of rounds', () => {
  it('takes each document for one of its own where a request of the warm-up failed', async () => {
    const profile = loadProfile('h200');
    const predicted = { profile, model: profile.model('Qwen/Qwen3-14B') };
    const warmup = (...documents: readonly number[]): RoundCase => ({
      ...{ kind: 'round', engine: 'baseline', workload: 'longdoc-warmup', folder: '' },
      requests: documents.map((document, index) => ({
        ...{ prompt: String(document), start: index, ttft: 0.5, end: index + 0.9, promptTokens: 4000, outputTokens: 2 },
      })),
    });
    const whole = await predictRounds(predicted, [warmup(0, 1)]);
    expect(await predictRounds(predicted, [warmup(0, 2)])).toEqual(whole);
  });
});

describe('the split', () => {
  it('alternates lengths and batches from the largest, and never trains on queries or on an engine with LMCache', () => {
    const step = (batch: number): StepCase => ({
      kind: 'step',
      engine: 'baseline',
      batch,
      contextTokens: 1,
      seconds: 1,
    });
    const ttft = (promptTokens: number): TtftCase => ({
      kind: 'ttft',
      engine: 'baseline',
      cachedIn: 'none',
      // All but the first are as long as another case's.
      repetitions: [promptTokens, 2000, 2000].map((tokens) => ({ promptTokens: tokens, cachedTokens: 0, seconds: 1 })),
    });
    const round = (engine: 'baseline' | 'lmcache', workload: 'longdoc-warmup' | 'longdoc-query' | 'bench') =>
      ({ kind: 'round', engine, workload, folder: '', requests: [] }) as const;
    const cases: RecordedCase[] = [
      ...[1, 4, 16, 64].map(step),
      ...[1000, 1003, 2000].map(ttft),
      round('baseline', 'longdoc-warmup'),
      round('baseline', 'longdoc-query'),
      round('lmcache', 'longdoc-warmup'),
      round('baseline', 'bench'),
      round('lmcache', 'bench'),
      { kind: 'arrivals', engine: 'baseline', name: 'poisson', requests: [] },
    ];
    const training = split(cases).map(({ part }) => part === 'training');
    expect(training.slice(0, 4)).toEqual([false, true, false, true]);
    expect(training.slice(4, 7)).toEqual([false, false, true]);
    expect(training.slice(7)).toEqual([true, false, false, true, false, false]);
  });
});

describe('the fit', () => {
  it('finds the least of a bent valley', () => {
    const errorsAt = ([x = 0, y = 0]: readonly number[]) => [1 - x, 10 * (y - x * x)].map((error) => error / 100);
    // So heavy that what draws to the origin counts for nothing.
    const [x, y] = leastErrors({ errorsAt, weights: [1e6, 1e6] }, [[-1, 1]]);
    expect([x, y]).toEqual([expect.closeTo(1, 2), expect.closeTo(1, 2)]);
  });

  it('draws to the origin what few errors show, and follows many errors rather than one that is far off', () => {
    const meanOf = (measured: readonly number[], weight: number): number => {
      const errorsAt = ([x = 0]: readonly number[]) => measured.map((value) => 0.02 * (x - value));
      const [found = Number.NaN] = leastErrors({ errorsAt, weights: measured.map(() => weight) }, [[0]]);
      return found;
    };
    expect(meanOf([1], 1)).toBeCloseTo(0.5, 2);
    expect(meanOf([1], 99)).toBeCloseTo(0.99, 2);
    expect(meanOf([1, 1, 1, 1, 100], 99)).toBeLessThan(1.3);
  });

  it('looks on all sides of a hill', () => {
    const errorsAt = ([x = 0]: readonly number[]) => [x * x - 1, 0.02 * (x - 1)];
    const problem = { errorsAt, weights: [1, 1] };
    const [left, right] = [leastErrors(problem, [[-1]]), leastErrors(problem, [[-1], ...startsAround(1)])];
    expect([...left, ...right]).toEqual([expect.closeTo(-1, 1), expect.closeTo(1, 1)]);
    expect(costAt(problem, right)).toBeLessThan(costAt(problem, left));
  });

  it('begins at the origin and on either side of each constant', () => {
    const starts = startsAround(5);
    expect(starts[0]).toEqual([0, 0, 0, 0, 0]);
    expect(starts).toHaveLength(9);
    for (const axis of [0, 1, 2, 3, 4]) {
      expect(new Set(starts.slice(1).map((start) => start[axis]))).toEqual(new Set([1, -1]));
    }
    expect(startsAround(0)).toEqual([[]]);
  });

  it('finds the constants of an engine again from what it would have shown', async () => {
    const base = profileFile('h200');
    const truth = withConstants(
      base,
      new Map([
        ['step.gemmEfficiency', 0.65],
        ['step.layerSeconds', 5e-5],
        ['transfer.loadBytesPerSecond', 3e10],
      ]),
      'made up',
    );
    const model = profileOf(base).model('Qwen/Qwen3-14B');
    const engine = { profile: profileOf(truth), model };
    const ttfts = [1000, 4000, 16_000, 30_000].flatMap((promptTokens) =>
      (['none', 'gpu', 'lmcache'] as const).flatMap((cachedIn) =>
        (cachedIn === 'lmcache' ? (['lmcache'] as const) : (['baseline', 'lmcache'] as const)).map(
          (name): TtftCase => ({
            kind: 'ttft',
            engine: name,
            cachedIn,
            repetitions: [{ promptTokens, cachedTokens: null, seconds: Number.NaN }],
          }),
        ),
      ),
    );
    const steps = [1, 16, 64].map(
      (batch): StepCase => ({ kind: 'step', engine: 'baseline', batch, contextTokens: 2080, seconds: 0 }),
    );
    const cases = [
      ...ttfts.map((entry) => ({
        ...entry,
        repetitions: entry.repetitions.map((one) => ({ ...one, seconds: predictTtft(engine, entry) })),
      })),
      ...steps.map((entry) => ({ ...entry, seconds: predictStep(engine, entry) })),
    ];
    const fitted = await fitProfile(base, [recordingOf(cases)], FITTED_CONSTANTS, 'a test');
    expect(constantAt(fitted, 'step.gemmEfficiency')).toBeCloseTo(0.65, 1);
    expect((constantAt(fitted, 'transfer.loadBytesPerSecond') ?? 0) / 3e10).toBeCloseTo(1, 1);
    const predicted = { profile: profileOf(fitted), model };
    for (const entry of ttfts) {
      const error = predictTtft(predicted, entry) / predictTtft(engine, entry) - 1;
      expect(Math.abs(error), JSON.stringify(entry)).toBeLessThan(0.02);
    }
  });

  it('counts each recording the same, and moves nothing that no case shows', async () => {
    const base = profileFile('h200');
    const cold = (seconds: number): TtftCase => ({
      kind: 'ttft',
      engine: 'baseline',
      cachedIn: 'none',
      repetitions: [{ promptTokens: 8000, cachedTokens: 0, seconds }],
    });
    const fitted = async (recordings: readonly Recording[], paths: readonly string[]) =>
      fitProfile(base, recordings, constantsOf(base, paths), 'a test');
    const one = recordingOf([cold(0.4)]);
    const other = recordingOf([cold(0.44)]);
    const twice = recordingOf([cold(0.4), cold(0.4), cold(0.4)]);
    const gemm = ['step.gemmEfficiency', 'connector.lookupSeconds'];
    const [even, uneven] = [await fitted([one, other], gemm), await fitted([twice, other], gemm)];
    const found = [even, uneven].map((file) => constantAt(file, 'step.gemmEfficiency') ?? Number.NaN);
    expect((found[0] ?? 0) / (found[1] ?? 0)).toBeCloseTo(1, 2);
    expect(even.connector).toEqual(base.connector);
    expect(even.step.gemmEfficiency?.source).toBe('a test');
  });

  it('comes to the same constants of prompts and loads from where the profile is and from far off', async () => {
    const base = profileFile('h200');
    const names = ['h200', 'h200-blind/qwen3-14b', 'h200-blind/qwen3-8b'];
    const singles = names.flatMap((name) => {
      const own = fileURLToPath(new URL(`../fixtures/recordings/${name}/`, import.meta.url));
      return readdirSync(own).flatMap((file) => (file.startsWith('single-') ? [join(own, file)] : []));
    });
    const recordings = openRecordings(singles, { profile: profileOf(base) });
    expect(recordings.map(({ name }) => name)).toEqual(names);
    const constants = constantsOf(base, [
      'step.gemmEfficiency',
      'step.attentionEfficiency',
      'api.requestSeconds',
      'api.distinctTokenSeconds',
      'transfer.loadBytesPerSecond',
    ]);
    const farOff = withConstants(
      base,
      new Map(constants.map(({ path, scale }) => [path, (constantAt(base, path) ?? 0) * Math.exp(scale)])),
      'far off',
    );
    const [near, far] = [
      await fitProfile(base, recordings, constants, 'a test'),
      await fitProfile(farOff, recordings, constants, 'a test'),
    ];
    for (const { path } of constants) {
      expect((constantAt(far, path) ?? 0) / (constantAt(near, path) ?? 0), path).toBeGreaterThan(0.95);
      expect((constantAt(far, path) ?? 0) / (constantAt(near, path) ?? 0), path).toBeLessThan(1.05);
    }
  });

  it('has a round say how fast a GPU is that computes prompts without a pause', async () => {
    const base = profileFile('h200');
    const recordings = openRecordings([`${FIXTURES}longdoc-baseline-warmup.csv`], { profile: profileOf(base) });
    const slow = withConstants(base, new Map([['step.gemmEfficiency', 0.6]]), 'too slow');
    const fitted = await fitProfile(slow, recordings, constantsOf(slow, ['step.gemmEfficiency']), 'a test');
    expect(constantAt(fitted, 'step.gemmEfficiency')).toBeGreaterThan(0.67);
    expect(constantAt(fitted, 'step.gemmEfficiency')).toBeLessThan(0.8);
    // Left out, it has no say: the profile stays too slow, and nothing of it counts as training.
    const [compared] = await crossValidate(slow, [...recordings, recordingOf([])], FITTED_CONSTANTS);
    expect(compared?.comparisons.map(({ part }) => part)).toEqual(['validation']);
    expect(compared?.comparisons[0]?.error).toBeGreaterThan(0.05);
  });

  it('predicts by formula what the engine does step by step', async () => {
    const still = new Map(['api.scatter', 'transfer.loadScatter'].map((path) => [path, 0]));
    const profile = profileOf(withConstants(profileFile('h200'), still, 'a test'));
    const model = profile.model('Qwen/Qwen3-8B');
    for (const engine of ['baseline', 'lmcache'] as const) {
      const virtual = openStudyEngine({ profile, model, engine });
      const promptIds = Array.from({ length: 12_345 }, (_, index) => index);
      const places = engine === 'lmcache' ? (['none', 'gpu', 'lmcache'] as const) : (['none', 'gpu'] as const);
      for (const cachedIn of places) {
        if (cachedIn === 'lmcache') virtual.loop.scheduler.resetPrefixCache();
        // The GPU cools down.
        virtual.clock.at(virtual.clock.now() + 1, () => undefined);
        await virtual.clock.run();
        const [record] = await virtual.round([{ promptIds, outputTokens: 1 }], 1, 0);
        const repetitions = [{ promptTokens: 12_345, cachedTokens: null, seconds: Number.NaN }];
        const entry = { kind: 'ttft', engine, cachedIn, repetitions } as const;
        expect(predictTtft({ profile, model }, entry)).toBeCloseTo(record?.ttft ?? 0, 6);
      }
    }
  });
});

describe('a study in virtual time', () => {
  const sizes = {
    documents: 4,
    documentTokens: 3000,
    outputTokens: 20,
    repeats: 2,
    inFlight: 2,
    benchPrompts: 5,
    benchTokens: 2000,
    evalPrompts: 10,
    evalConcurrency: 4,
  };

  it('has the same times to the microsecond whenever it runs, and others for other sizes', async () => {
    const profile = profileOf(profileFile('h200'));
    const study = (engine: 'baseline' | 'lmcache', changed = {}) =>
      runSuiteStudy({ profile, model: profile.model('Qwen/Qwen3-8B'), engine }, { ...sizes, ...changed });
    const first = await study('lmcache');
    expect(await study('lmcache')).toEqual(first);
    expect((await study('lmcache', { outputTokens: 21 })).digest).not.toBe(first.digest);
    const baseline = await study('baseline');
    expect(first.evalCachedTokens).toBeGreaterThan(baseline.evalCachedTokens);
  });
});

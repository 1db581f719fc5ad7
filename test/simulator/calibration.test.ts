import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RecordedCase, StepCase, TtftCase } from '../../simulator/calibration/cases.js';
import { constantAt, constantsOf, FITTED_CONSTANTS, withConstants } from '../../simulator/calibration/constants.js';
import { crossValidate } from '../../simulator/calibration/cross-validate.js';
import { fitProfile } from '../../simulator/calibration/fit.js';
import { costAt, leastErrors, startsAround } from '../../simulator/calibration/least-errors.js';
import { predictStep, predictTtft } from '../../simulator/calibration/predict.js';
import { openRecordings, type Recording } from '../../simulator/calibration/recording.js';
import { readRecording } from '../../simulator/calibration/recordings.js';
import { partsOf } from '../../simulator/calibration/split.js';
import { loadProfile, profileFile, profileOf } from '../../simulator/profiles.js';
import { openStudyEngine } from '../../simulator/study/study-engine.js';
import { runSuiteStudy } from '../../simulator/study/suite-study.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/recordings/h200/', import.meta.url));
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'calibration-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const written = (name: string, content: string | Buffer): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

/** What was recorded of Qwen3-14B, all of it training. */
function recordingOf(cases: readonly RecordedCase[]): Recording {
  const model = loadProfile('h200').model('Qwen/Qwen3-14B');
  return {
    name: 'made up',
    folder: '/made/up',
    model,
    cases,
    parts: cases.map(() => 'training'),
    simulatedBy: null,
    predictedBy: (profile) => ({ profile, model }),
  };
}

describe('recordings', () => {
  it('of single prompts are one case a length and place, with all repetitions', () => {
    const cases = readRecording(`${FIXTURES}single-lmcache.csv`);
    expect(cases).toHaveLength(18);
    expect(cases[2]).toEqual({
      kind: 'ttft',
      engine: 'lmcache',
      promptTokens: 1001,
      cachedIn: 'lmcache',
      cachedTokens: 768,
      samples: [0.04010057499999675, 0.04038583300001619, 0.04248632900004168],
    });
  });

  it('of decoding are the steady part of each batch, packed or not', () => {
    // One gap of the last stream is of a client that stood still.
    const text = 'batch,stream,token arrival times\n2,0,10,20,30,40\n2,1,18,28,38,48\n1,0,5,12,19,60,67\n';
    const wanted = [
      { kind: 'step', engine: 'baseline', batch: 2, contextTokens: 2002, seconds: 0.01 },
      { kind: 'step', engine: 'baseline', batch: 1, contextTokens: 2003, seconds: 0.007 },
    ];
    expect(readRecording(written('decode-baseline.csv', text))).toEqual(wanted);
    expect(readRecording(written('decode-baseline.csv.gz', gzipSync(text)))).toEqual(wanted);
  });

  it('of decoding tell prompts of different lengths apart where they say how long each is', () => {
    const text = 'batch,stream,prompt_tokens,times\n1,0,500,5,12,19\n1,0,900,5,14,23\n';
    expect(readRecording(written('decode-lmcache-long.csv', text))).toEqual([
      { kind: 'step', engine: 'lmcache', batch: 1, contextTokens: 502, seconds: 0.007 },
      { kind: 'step', engine: 'lmcache', batch: 1, contextTokens: 902, seconds: 0.009 },
    ]);
  });

  it('of token ids, and of prompts that come at given times, are cases of their own', () => {
    const head = 'engine,length,rep,mode,ttft,prompt_tokens,cached_tokens,error,server_ttft\n';
    // An engine that does not tell how much it had cached, and a second line of the same repetition.
    const ids = `${head}lmcache,700,0,gpu,0.03,700,,,0.029\nlmcache,700,0,gpu,0.02,700,,,0.019\nlmcache,700,1,gpu,9,700,,timed out,\n`;
    const single = { kind: 'ttft', engine: 'lmcache', promptTokens: 700, cachedIn: 'gpu', cachedTokens: 0 };
    expect(readRecording(written('ids-lmcache.csv', ids))).toEqual([
      { ...single, cameAsIds: true, samples: [0.02, 0.03] },
    ]);
    expect(readRecording(written('single-lmcache.csv', ids))).toEqual([{ ...single, samples: [0.02, 0.03] }]);
    const arrivals =
      'i,start,first_chunk,ttft,end,prompt_tokens,completion_tokens,cached_tokens,error\n0,0.2,0.1,0.1,1.1,300,9,0,\n1,0.3,,,,300,,,gone\n';
    expect(readRecording(written('arrivals-baseline-poisson-2.csv', arrivals))).toEqual([
      {
        kind: 'arrivals',
        engine: 'baseline',
        name: 'poisson-2',
        requests: [
          { prompt: '0', start: 0.2, ttft: 0.1, end: 1.1, promptTokens: 300, outputTokens: 9, cachedTokens: 0 },
        ],
      },
    ]);
  });

  it('of workloads are whole rounds, in the small form single cases', () => {
    const [round] = readRecording(`${FIXTURES}longdoc-lmcache-query.csv`);
    expect(round).toMatchObject({ kind: 'round', engine: 'lmcache', workload: 'longdoc-query' });
    const small = written(
      'mine.csv',
      'kind,engine,prompt_tokens,cached_in,cached_tokens,batch,context_tokens,ms\nttft,lmcache,4000,lmcache,3840,,,70\nstep,baseline,,,,16,2000,11.9\n',
    );
    expect(readRecording(small)).toEqual([
      { kind: 'ttft', engine: 'lmcache', promptTokens: 4000, cachedIn: 'lmcache', cachedTokens: 3840, samples: [0.07] },
      { kind: 'step', engine: 'baseline', batch: 16, contextTokens: 2000, seconds: 0.0119 },
    ]);
  });

  it.each([
    ['other.csv', 'a,b\n1,2\n', /is no recording/],
    ['README.md', 'Recorded here,\nand there\n', /is no recording/],
    ['single-x.csv', '', /holds no recordings/],
    ['bench-vllm.csv', 'i,start\n1,2\n', /names neither engine/],
    ['decode-lmcache.csv', 'head\n1,0,5\n', /without token times/],
    ['decode-lmcache.csv', 'batch,stream,prompt_tokens,times\n1,0,700,5\n', /without token times/],
    ['decode-lmcache.csv', 'head\n2,0,5,5,5,9\n2,1,5,5,5,9\n', /tokens of batch 2 came several at a time/],
    ['decode-lmcache.csv', 'head\n2,0,5,6,7\n2,1,8,9,10\n', /or no two while all ran/],
    ['mine.csv', 'kind,engine,ms\nstep,baseline,0\n', /"0" in column "ms" is no time/],
    ['arrivals-poisson.csv', 'i,start,ttft,end\n0,1,1,2\n', /"" in column|names neither engine/],
    ['mine.csv', 'kind,engine,ms\nttft,baseline\n', /has not 3 cells/],
    ['mine.csv', 'kind,engine,ms\nstep,baseline,fast\n', /"fast" in column "ms" is not a number/],
    ['mine.csv', 'kind,engine,ms\nwarp,baseline,1\n', /neither "ttft" nor "step"/],
  ])('%s that holds %j is refused', (name, content, message) => {
    expect(() => readRecording(written(name, content))).toThrow(message);
  });
});

describe('a recording', () => {
  const open = (paths: readonly string[]) => openRecordings(paths, { profile: loadProfile('h200') });
  const single = 'engine,length,rep,mode,ttft,prompt_tokens,cached_tokens,error\nlmcache,700,0,cold,0.03,700,0,\n';
  const folderOf = (name: string, description: string | null): string => {
    const own = join(folder, name);
    mkdirSync(own, { recursive: true });
    writeFileSync(join(own, 'single-lmcache.csv'), single);
    writeFileSync(join(own, 'notes.csv'), 'no recording');
    if (description !== null) writeFileSync(join(own, 'recording.json'), description);
    return own;
  };

  it('is a folder, with the model that its path, its recording.json or nobody names', () => {
    const paths = [
      folderOf('a', '{ "model": "Qwen/Qwen3-8B", "numGpuBlocks": 7281, "versions": {} }'),
      `${folderOf('b/c', '{ "model": "Qwen/Qwen3-8B" }')}:Qwen/Qwen3-14B`,
      folderOf('d', null),
    ];
    const recordings = open(paths);
    expect(recordings.map(({ name, model }) => [name, model.name])).toEqual([
      ['a', 'Qwen/Qwen3-8B'],
      ['b/c', 'Qwen/Qwen3-14B'],
      ['d', 'Qwen/Qwen3-14B'],
    ]);
    const model = 'Qwen/Qwen3-32B';
    const given = openRecordings(paths.slice(1), { profile: loadProfile('h200'), model });
    expect(given.map((recording) => recording.model.name)).toEqual(['Qwen/Qwen3-14B', model]);
    expect(() => openRecordings(paths, { profile: loadProfile('h200'), model })).toThrow(
      /recording\.json" says that "Qwen\/Qwen3-8B" was recorded, not "Qwen\/Qwen3-32B"/,
    );
    const [first, second] = recordings.map(({ predictedBy }) => predictedBy(loadProfile('h200')));
    expect([first?.blockCount, second?.blockCount]).toEqual([7281, undefined]);
    expect(recordings.every(({ cases, parts }) => cases.length === 1 && parts[0] === 'training')).toBe(true);
  });

  it('is all files that were named of one folder, each once', () => {
    const own = folderOf('e', null);
    writeFileSync(join(own, 'ids-lmcache.csv'), single);
    const [recording, ...others] = open([join(own, 'single-lmcache.csv'), own, join(own, 'ids-lmcache.csv')]);
    expect(others).toEqual([]);
    expect(recording?.cases).toHaveLength(2);
    expect(open([join(own, 'single-lmcache.csv')])[0]?.cases).toHaveLength(1);
  });

  it('says whether a simulator was recorded', () => {
    const told = (simulated: string) => open([folderOf('f', `{ "simulated": ${simulated} }`)])[0]?.simulatedBy;
    expect(['null', 'false'].map(told)).toEqual([null, null]);
    expect(['{ "profile": "a100", "speed": 10 }', '"l40s"', 'true'].map(told)).toEqual(['a100', 'l40s', 'unknown']);
  });

  it.each([
    ['{ "numGpuBlocks": 0 }', /recording\.json": .*numGpuBlocks/s],
    ['{ "l2Adapter": { "type": "tape" } }', /recording\.json": --l2-adapter/],
    ['{ "model": "nobody/x" }', /no shape of the model "nobody\/x"/],
    ['{', /recording\.json": /],
  ])('with %s is refused', (description, message) => {
    expect(() => open([folderOf('g', description)])).toThrow(message);
  });

  it('of no files, of no folder, or of two models is refused', () => {
    mkdirSync(join(folder, 'empty'));
    expect(() => open([join(folder, 'empty')])).toThrow(/empty" holds no recordings/);
    expect(() => open([join(folder, 'nowhere')])).toThrow(/nowhere" is no recording: there is no such file or folder/);
    expect(() => open([join(folder, 'nowhere')])).toThrow(/nowhere/);
    const own = folderOf('h', null);
    expect(() => open([`${own}:Qwen/Qwen3-8B`, `${own}:Qwen/Qwen3-14B`])).toThrow(/one model, not of/);
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
    const round = (engine: 'baseline' | 'lmcache', workload: 'longdoc-warmup' | 'longdoc-query' | 'bench') =>
      ({ kind: 'round', engine, workload, folder: '', requests: [] }) as const;
    const cases: RecordedCase[] = [
      ...[1, 4, 16, 64].map(step),
      round('baseline', 'longdoc-warmup'),
      round('baseline', 'longdoc-query'),
      round('lmcache', 'longdoc-warmup'),
      round('baseline', 'bench'),
      round('lmcache', 'bench'),
      { kind: 'arrivals', engine: 'baseline', name: 'poisson', requests: [] },
    ];
    const training = partsOf(cases).map((part) => part === 'training');
    expect(training).toEqual([false, true, false, true, true, false, false, true, false, false]);
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
            promptTokens,
            cachedIn,
            cachedTokens: 0,
            samples: [],
          }),
        ),
      ),
    );
    const steps = [1, 16, 64].map(
      (batch): StepCase => ({ kind: 'step', engine: 'baseline', batch, contextTokens: 2080, seconds: 0 }),
    );
    const cases = [
      ...ttfts.map((entry) => ({ ...entry, samples: [predictTtft(engine, entry)] })),
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
      promptTokens: 8000,
      cachedIn: 'none',
      cachedTokens: 0,
      samples: [seconds],
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
        const entry = { kind: 'ttft', engine, promptTokens: 12_345, cachedIn, cachedTokens: 0, samples: [] } as const;
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

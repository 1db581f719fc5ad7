import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { constantAt, withConstants } from '../../simulator/calibration/constants.js';
import { fitProfile } from '../../simulator/calibration/fit.js';
import { minimise } from '../../simulator/calibration/minimise.js';
import { predictStep, predictTtft } from '../../simulator/calibration/predict.js';
import {
  type RecordedCase,
  readRecording,
  type StepCase,
  type TtftCase,
} from '../../simulator/calibration/recordings.js';
import { partsOf } from '../../simulator/calibration/split.js';
import { profileFile, profileOf } from '../../simulator/profiles.js';
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
    ['single-x.csv', '', /holds no recordings/],
    ['bench-vllm.csv', 'i,start\n1,2\n', /names neither engine/],
    ['decode-lmcache.csv', 'head\n1,0,5\n', /without token times/],
    ['mine.csv', 'kind,engine,ms\nttft,baseline\n', /has not 3 cells/],
    ['mine.csv', 'kind,engine,ms\nstep,baseline,fast\n', /"fast" in column "ms" is not a number/],
    ['mine.csv', 'kind,engine,ms\nwarp,baseline,1\n', /neither "ttft" nor "step"/],
  ])('%s that holds %j is refused', (name, content, message) => {
    expect(() => readRecording(written(name, content))).toThrow(message);
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
    ];
    const training = partsOf(cases).map((part) => part === 'training');
    expect(training).toEqual([false, true, false, true, true, false, false, true, false]);
  });
});

describe('the fit', () => {
  it('finds the least of a bent valley', () => {
    const [x = 0, y = 0] = minimise(([a = 0, b = 0]) => (1 - a) ** 2 + 100 * (b - a * a) ** 2, [-1, 1]);
    expect([x, y]).toEqual([expect.closeTo(1, 2), expect.closeTo(1, 2)]);
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
    const fitted = await fitProfile(base, model, cases, 'a test');
    expect(constantAt(fitted, 'step.gemmEfficiency')).toBeCloseTo(0.65, 1);
    expect((constantAt(fitted, 'transfer.loadBytesPerSecond') ?? 0) / 3e10).toBeCloseTo(1, 1);
    const predicted = { profile: profileOf(fitted), model };
    for (const entry of ttfts) {
      const error = predictTtft(predicted, entry) / predictTtft(engine, entry) - 1;
      expect(Math.abs(error), JSON.stringify(entry)).toBeLessThan(0.02);
    }
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

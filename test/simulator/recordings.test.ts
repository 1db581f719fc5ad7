import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compare } from '../../simulator/calibration/compare.js';
import { readRecording } from '../../simulator/calibration/read-recording.js';
import { openRecordings } from '../../simulator/calibration/recording.js';
import { loadProfile } from '../../simulator/profiles.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/recordings/h200/', import.meta.url));
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'recordings-'));
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
      cachedIn: 'lmcache',
      repetitions: [
        { promptTokens: 1001, cachedTokens: 768, seconds: 0.04248632900004168 },
        { promptTokens: 1001, cachedTokens: 768, seconds: 0.04038583300001619 },
        { promptTokens: 1000, cachedTokens: 768, seconds: 0.04010057499999675 },
      ],
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
    const repetitions = [0.03, 0.02].map((seconds) => ({ promptTokens: 700, cachedTokens: null, seconds }));
    const single = { kind: 'ttft', engine: 'lmcache', cachedIn: 'gpu', repetitions };
    expect(readRecording(written('ids-lmcache.csv', ids))).toEqual([{ ...single, cameAsIds: true }]);
    expect(readRecording(written('single-lmcache.csv', ids))).toEqual([single]);
    const arrivals =
      'i,start,first_chunk,ttft,end,prompt_tokens,completion_tokens,cached_tokens,error\n0,0.2,0.1,0.1,1.1,300,9,0,\n1,0.3,,,,300,,,gone\n';
    expect(readRecording(written('arrivals-baseline-poisson-2.csv', arrivals))).toEqual([
      {
        kind: 'arrivals',
        engine: 'baseline',
        name: 'poisson-2',
        requests: [{ prompt: '0', start: 0.2, ttft: 0.1, end: 1.1, promptTokens: 300, outputTokens: 9 }],
      },
    ]);
  });

  it('of requests that all failed are none, and a folder of such alone is refused', () => {
    const own = join(folder, 'failed');
    mkdirSync(own);
    const write = (name: string, content: string): string => {
      writeFileSync(join(own, name), content);
      return join(own, name);
    };
    const files = [
      write('arrivals-baseline-burst.csv', 'i,start,ttft,end,prompt_tokens,completion_tokens,error\n0,,,1,,,gone\n'),
      write('longdoc-baseline-query.csv', 'prompt_id,request_start,ttft,request_end,error\n0,,,1,gone\n'),
      write('single-baseline.csv', 'engine,length,rep,mode,ttft,prompt_tokens,error\nbaseline,9,0,cold,,,gone\n'),
    ];
    expect(files.flatMap((file) => readRecording(file))).toEqual([]);
    expect(() => openRecordings([own], { profile: loadProfile('h200') })).toThrow(
      /failed" holds no recordings: all requests in it failed/,
    );
  });

  it('of workloads are whole rounds, in the small form single cases', () => {
    const [round] = readRecording(`${FIXTURES}longdoc-lmcache-query.csv`);
    expect(round).toMatchObject({ kind: 'round', engine: 'lmcache', workload: 'longdoc-query' });
    const small = written(
      'mine.csv',
      'kind,engine,prompt_tokens,cached_in,cached_tokens,batch,context_tokens,ms\nttft,lmcache,4000,lmcache,3840,,,70\nstep,baseline,,,,16,2000,11.9\n',
    );
    expect(readRecording(small)).toEqual([
      {
        kind: 'ttft',
        engine: 'lmcache',
        cachedIn: 'lmcache',
        repetitions: [{ promptTokens: 4000, cachedTokens: 3840, seconds: 0.07 }],
      },
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
    [
      'mine.csv',
      'kind,engine,prompt_tokens,cached_in,cached_tokens,ms\nttft,baseline,400,gpu,400,9\n',
      /"400" in column "cached_tokens" is not less than the prompt's 400/,
    ],
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
    expect([first?.blockCounts, second?.blockCounts]).toEqual([{ baseline: 7281, lmcache: 7281 }, {}]);
    expect(recordings.every(({ cases }) => cases.length === 1 && cases[0]?.part === 'training')).toBe(true);
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

  it('has a KV pool for each engine: rounds of one are not predicted with the memory of the other', async () => {
    const own = folderOf('pools', '{ "numGpuBlocks": { "baseline": 2000, "lmcache": 200 } }');
    const head = 'prompt_id,request_start,ttft,request_end,first_chunk,prompt_tokens,completion_tokens,error';
    const round = ['0,0,0.2,0.3,0.2,3000,5,', '1,0.4,0.2,0.7,0.2,3000,5,', '2,0.8,0.2,1.1,0.2,3000,5,'].join('\n');
    for (const name of ['baseline-warmup', 'baseline-query', 'lmcache-warmup', 'lmcache-query'])
      writeFileSync(join(own, `longdoc-${name}.csv`), `${head}\n${round}\n`);
    const profile = loadProfile('h200');
    const [recording] = open([own]);
    const predicted = recording?.predictedBy(profile);
    expect(predicted?.blockCounts).toEqual({ baseline: 2000, lmcache: 200 });
    const queryTtfts = async (baseline: number, lmcache: number) => {
      if (recording === undefined || predicted === undefined) return [];
      const engines = { ...predicted, blockCounts: { baseline, lmcache } };
      const comparisons = await compare(engines, recording.cases);
      return comparisons.flatMap((entry) => (entry.label.endsWith('queries, TTFT') ? [entry.predicted] : []));
    };
    // 200 blocks hold one of the three documents, 2000 all.
    const [baseline = 0, lmcache = 0] = await queryTtfts(2000, 200);
    const [smallBaseline = 0, sameLmcache = 0] = await queryTtfts(200, 200);
    const [sameBaseline = 0, largeLmcache = 0] = await queryTtfts(2000, 2000);
    expect([sameBaseline, sameLmcache]).toEqual([baseline, lmcache]);
    expect(smallBaseline).toBeGreaterThan(3 * baseline);
    expect(largeLmcache).toBeLessThan(lmcache);
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

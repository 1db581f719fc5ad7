import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { experimentReport } from '../../report/experiments/experiment-report.js';
import { writeExperimentReport } from '../../report/experiments/write-experiment-report.js';
import { cellText } from '../../report/pages/report-document.js';
import { sampleExperimentCsv, sampleExperiments, sampleNotes } from './sample-experiments.js';

const notes = sampleNotes();
const report = experimentReport('test_lmcache_local_cpu', sampleExperiments(), notes);

describe('the report of a test function', () => {
  it('has a section an experiment, then GPU memory', () => {
    expect(report.sections.map(({ title }) => title)).toEqual([
      'Experiment 0',
      'Experiment 1',
      'Experiment 2',
      'GPU memory',
    ]);
    expect(report.lead).toMatch(/^3 experiments, 2 engines, 60 requests, of which 1 failed\./);
    expect(report.simulated).toContain('SIMULATED (profile "h200", speed x10)');
  });

  it('draws TTFT and throughput over the requests, one line an engine, with the room above that readers know', () => {
    const [ttft, throughput] = report.sections[0]?.charts ?? [];
    const rows = sampleExperiments().rows.filter(({ expr_id }) => expr_id === 0);
    expect(ttft).toMatchObject({ xLabel: 'request', yLabel: 'TTFT (s)', yMin: 0, simulated: true });
    expect(ttft?.yMax).toBeCloseTo(Math.max(...rows.map(({ TTFT }) => TTFT ?? 0)) + 0.5, 9);
    expect(throughput?.yMax).toBeCloseTo(Math.max(...rows.map((row) => row.throughput ?? 0)) + 10, 9);
    expect(ttft?.series.map(({ name }) => name)).toEqual(['engine 0: vLLM with LMCache, local CPU', 'engine 1: vLLM']);
    expect(ttft?.series[0]?.points).toEqual(
      rows.filter(({ engine_id }) => engine_id === 0).map(({ request_id, TTFT }) => ({ x: request_id, y: TTFT })),
    );
  });

  it('leaves a failed request out of the curve and of every average', () => {
    const section = report.sections[1];
    expect(section?.charts[0]?.series[1]?.points[4]).toEqual({ x: 4, y: null });
    const row = section?.tables[0]?.rows[1]?.map(cellText);
    expect(row?.slice(0, 3)).toEqual(['engine 1: vLLM', '10', '1']);
    expect(Number(row?.[3])).toBeGreaterThan(1.7);
  });

  it('draws GPU memory over the experiments, one line a GPU', () => {
    const chart = report.sections[3]?.charts[0];
    expect(chart).toMatchObject({ xLabel: 'experiment', yLabel: 'GPU memory (GiB)', xTicks: [0, 1, 2] });
    expect(chart?.series.map(({ name }) => name)).toEqual(['gpu-0', 'gpu-1']);
    expect(chart?.series[0]?.points[1]?.y).toBeCloseTo(65_900 / 1024, 9);
  });

  it('says whose figures decide nothing', () => {
    const overloaded = {
      ...notes,
      experiments: notes.experiments.map((one) => ({ ...one, clientOverloaded: one.id === 2 })),
    };
    expect(experimentReport('x', sampleExperiments(), overloaded).facts.at(-1)).toEqual({
      label: 'Experiment 2 (Context of 24576 tokens, 10 requests, one every 8 s)',
      value: 'the client was overloaded: requests left late, their figures decide nothing',
    });
  });

  it('says what was measured again, more slowly', () => {
    const repeated = {
      ...notes,
      experiments: notes.experiments.map((one) => (one.id === 1 ? { ...one, simulatedSpeed: 2.5 } : one)),
    };
    expect(experimentReport('x', sampleExperiments(), repeated).facts.at(-1)).toEqual({
      label: 'Experiment 1 (Context of 16384 tokens, 10 requests, one every 8 s)',
      value: `simulated at speed x2.5: the machine was too busy for x${notes.simulated?.speed}`,
    });
  });

  it('does without notes, and claims nothing then', () => {
    const plain = experimentReport('x', sampleExperiments(45), null);
    expect(plain.simulated).toBeNull();
    expect(plain.sections[0]?.paragraphs).toEqual(['Context of 8,192 tokens, query of 16 tokens.']);
    expect(plain.sections[0]?.charts[0]?.series[44]?.name).toBe('engine 44');
  });

  it('tells of experiments that failed, and of nothing measured', () => {
    const failed = { ...notes, experiments: notes.experiments.map((one) => ({ ...one, failure: 'engine 1 died' })) };
    expect(experimentReport('x', { rows: [], notes: ['cut off'] }, failed).facts.map(({ value }) => value)).toEqual([
      'mistralai/Mistral-7B-Instruct-v0.2',
      'cut off',
      'engine 1 died',
      'engine 1 died',
      'engine 1 died',
    ]);
  });
});

describe('the files of a test function', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-report-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('are named after the CSV, and the SVG files are those of this CSV only', async () => {
    const csv = path.join(directory, 'test_x.csv');
    const lines = sampleExperimentCsv().split('\n');
    await writeFile(csv, `${lines.slice(0, 41).join('\n')}\n`);
    await writeFile(path.join(directory, 'test_x.json'), JSON.stringify(notes));
    await writeExperimentReport(csv, { formats: ['svg'] });
    expect(await readdir(path.join(directory, 'test_x-charts'))).toHaveLength(5);
    await writeFile(csv, `${lines.slice(0, 21).join('\n')}\n`);
    const { files } = await writeExperimentReport(csv);
    expect(files[0]).toBe(path.join(directory, 'test_x.pdf'));
    expect((await readdir(directory)).sort()).toEqual([
      'test_x-charts',
      'test_x.csv',
      'test_x.html',
      'test_x.json',
      'test_x.pdf',
    ]);
    expect(await readdir(path.join(directory, 'test_x-charts'))).toEqual([
      '1-experiment-0-ttft.svg',
      '2-experiment-0-throughput.svg',
      '3-gpu-memory-over-the-experiments.svg',
    ]);
    expect((await readFile(path.join(directory, 'test_x.pdf'))).subarray(0, 5).toString()).toBe('%PDF-');
  });

  it('are not made of notes that cannot be read: they may say that all is simulated', async () => {
    const csv = path.join(directory, 'test_x.csv');
    await writeFile(csv, sampleExperimentCsv());
    await writeFile(path.join(directory, 'test_x.json'), '{"schemaVersion": 1');
    await expect(writeExperimentReport(csv)).rejects.toThrow(/test_x\.json", the notes beside the CSV, cannot be read/);
    await expect(writeExperimentReport(path.join(directory, 'none.csv'))).rejects.toThrow('none.csv" cannot be read');
  });
});

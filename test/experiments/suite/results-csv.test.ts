import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type ResultRow, ResultsCsv } from '../../../experiments/suite/results-csv.js';
import { parseExperimentCsv } from '../../../results-schema/experiment-csv.js';

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function newFile(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-csv-'));
  directories.push(directory);
  return path.join(directory, 'results.csv');
}

const row: ResultRow = {
  experimentId: 0,
  timestamp: 8,
  engineId: 1,
  requestId: 1,
  ttft: 0.25,
  throughput: 120,
  contextLength: 8192,
  queryLength: 16,
  gpuMemory: { 'gpu-0': 57_232, 'gpu-1': 4 },
  latency: 1.5,
};

describe('the CSV', () => {
  it('has the nine columns and the text that pandas writes', () => {
    const file = newFile();
    const csv = new ResultsCsv(file, { extraColumns: false });
    csv.add(row);
    csv.close();
    expect(readFileSync(file, 'utf8')).toBe(
      'expr_id,timestamp,engine_id,request_id,TTFT,throughput,context_len,query_len,gpu_memory\n' +
        '0,8.0,1,1,0.25,120.0,8192,16,"{""gpu-0"": 57232, ""gpu-1"": 4}"\n',
    );
  });

  it('has latency too where it is asked for, and is empty where nothing was measured', () => {
    const file = newFile();
    const csv = new ResultsCsv(file, { extraColumns: true });
    csv.add({ ...row, ttft: null, throughput: null, latency: null, gpuMemory: {} });
    csv.add(row);
    csv.close();
    const [head, failed, good] = readFileSync(file, 'utf8').split('\n');
    expect(head).toMatch(/,gpu_memory,latency$/);
    expect(failed).toBe('0,8.0,1,1,,,8192,16,"{}",');
    expect(good).toMatch(/,1\.5$/);
  });

  it('loses the rows of a measurement that is repeated, and no others', () => {
    const file = newFile();
    const csv = new ResultsCsv(file, { extraColumns: false });
    csv.add(row);
    const before = csv.length;
    csv.add({ ...row, experimentId: 1, ttft: 9 });
    csv.add({ ...row, experimentId: 1, ttft: 9 });
    csv.cutTo(before);
    csv.add({ ...row, experimentId: 1, ttft: 0.5 });
    csv.close();
    const { rows } = parseExperimentCsv(readFileSync(file, 'utf8'), file);
    expect(rows.map(({ expr_id, TTFT }) => [expr_id, TTFT])).toEqual([
      [0, 0.25],
      [1, 0.5],
    ]);
  });

  it.each([7, 123_456_789])('takes other rows in the place of the last ones, shorter or longer: %i MiB', (used) => {
    const file = newFile();
    const csv = new ResultsCsv(file, { extraColumns: false });
    csv.add(row);
    const before = csv.length;
    const added = [
      { ...row, experimentId: 1 },
      { ...row, experimentId: 1, requestId: 5 },
    ];
    for (const one of added) csv.add(one);
    csv.replaceSince(
      before,
      added.map((one) => ({ ...one, gpuMemory: { 'gpu-0': used } })),
    );
    csv.add({ ...row, experimentId: 2 });
    csv.close();
    const { rows } = parseExperimentCsv(readFileSync(file, 'utf8'), file);
    expect(rows.map(({ expr_id, gpu_memory }) => [expr_id, gpu_memory['gpu-0']])).toEqual([
      [0, 57_232],
      [1, used],
      [1, used],
      [2, 57_232],
    ]);
  });

  it('has a row as soon as it is added, and is what the reports read', () => {
    const file = newFile();
    const csv = new ResultsCsv(file, { extraColumns: false });
    csv.add(row);
    const { rows } = parseExperimentCsv(readFileSync(file, 'utf8'), file);
    expect(rows).toMatchObject([{ expr_id: 0, TTFT: 0.25, context_len: 8192, gpu_memory: { 'gpu-0': 57_232 } }]);
    csv.close();
  });
});

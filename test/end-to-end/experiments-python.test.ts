import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect } from 'vitest';
import { ResultsCsv } from '../../experiments/suite/results-csv.js';
import { executeOwned } from '../../pipeline/execute.js';
import { parseExperimentCsv } from '../../results-schema/experiment-csv.js';
import { setupVenv } from '../../steps/python-venv.js';
import { root, test } from './bench.js';

const { signal } = new AbortController();

/** Two experiments of two engines; one request has failed. */
function writeResults(file: string): void {
  const csv = new ResultsCsv(file, { extraColumns: false });
  for (const experimentId of [0, 1]) {
    for (const requestId of [0, 1, 2]) {
      for (const engineId of [0, 1]) {
        const failed = experimentId === 1 && engineId === 1 && requestId === 2;
        csv.add({
          experimentId,
          timestamp: requestId * 8,
          engineId,
          requestId,
          ttft: failed ? null : 0.1 * (1 + engineId) * (1 + experimentId) + 0.01 * requestId,
          throughput: failed ? null : 100 + engineId,
          contextLength: 8192 * (1 + experimentId),
          queryLength: 16,
          gpuMemory: { 'gpu-0': 57_232, 'gpu-1': 60_000 },
          latency: 1,
        });
      }
    }
  }
  csv.close();
}

/** What readers of these files have always done. */
const usualProcessing = `
import json, sys
import pandas as pd
df = pd.read_csv(sys.argv[1])
df["gpu_memory"] = df["gpu_memory"].apply(json.loads)
df = pd.concat([df.drop(columns=["gpu_memory"]), pd.json_normalize(df["gpu_memory"])], axis=1)
medians = df.groupby(["expr_id", "engine_id"])["TTFT"].median()
print(json.dumps({
    "columns": list(df.columns),
    "types": [str(kind) for kind in df.dtypes],
    "medians": [round(value, 6) for value in medians],
    "failed": int(df["TTFT"].isna().sum()),
    "again": df.head(1).to_csv(index=False),
}))
`;

test('pandas reads the CSV as it stands, and examples/process_result.py draws it', async ({ bench }) => {
  const directory = path.join(bench.directory, 'python');
  mkdirSync(directory);
  const csv = path.join(directory, 'test_x.csv');
  writeResults(csv);
  const { python } = await setupVenv({
    directory: path.join(os.homedir(), '.cache', 'lmcache-ci', 'test-venv'),
    packages: ['pandas', 'matplotlib'],
    execute: (command, options) => executeOwned(command, { ...options, signal, owner: null }),
    progress: { log: () => {}, warn: () => {}, update: () => {} },
    signal,
  });
  const script = path.join(directory, 'usual.py');
  writeFileSync(script, usualProcessing);
  const read = await bench.startProgram([python, script, csv]).ended;
  expect(read.code, read.stderr).toBe(0);
  expect(JSON.parse(read.stdout)).toMatchObject({
    columns: 'expr_id timestamp engine_id request_id TTFT throughput context_len query_len gpu-0 gpu-1'.split(' '),
    types: 'int64 float64 int64 int64 float64 float64 int64 int64 int64 int64'.split(' '),
    medians: [0.11, 0.21, 0.21, 0.405],
    failed: 1,
  });
  const { rows } = parseExperimentCsv(readFileSync(csv, 'utf8'), csv);
  expect(rows.filter(({ TTFT }) => TTFT === null)).toHaveLength(1);

  const example = path.join(directory, 'process_result.py');
  copyFileSync(path.join(root, 'examples', 'process_result.py'), example);
  writeFileSync(csv.replace('.csv', '.json'), JSON.stringify({ simulated: { profile: 'l40s', speed: 10 } }));
  const drawn = await bench.startProgram([python, 'process_result.py'], {
    directory,
    environment: { MPLCONFIGDIR: path.join(directory, 'matplotlib') },
  }).ended;
  expect(drawn.code, drawn.stderr).toBe(0);
  expect(drawn.stdout).toBe('test_x.csv -> test_x.pdf\n');
});

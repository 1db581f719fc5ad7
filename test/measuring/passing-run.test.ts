import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse as parseCsv } from 'csv-parse/sync';
import { describe, expect } from 'vitest';
import { z } from 'zod';
import { fileSchemas } from '../../results-schema/file-schemas.js';
import { type Bench, root, measuringTest as test } from '../end-to-end/bench.js';

const simulatedNote = { simulated: { profile: 'h200', speed: 4 } };
/** Slow and long enough for a busy machine to be measured on. */
const steadyBench = { SIM_SPEED: '4', NUM_PROMPTS: '20', RANDOM_INPUT_LEN: '10000' };

function files(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .sort();
}

/** Checks each file against the JSON Schema that is published for it, from the schema's own text. */
function expectPublishedSchemas(directory: string): void {
  const checked = new Set<string>();
  for (const file of files(directory)) {
    const text = readFileSync(path.join(directory, file), 'utf8');
    for (const { name, format } of fileSchemas.filter((schema) => schema.path.test(file))) {
      const published = readFileSync(path.join(root, 'results-schema', 'json', `${name}.schema.json`), 'utf8');
      const schema = z.fromJSONSchema(JSON.parse(published));
      const values: readonly unknown[] =
        format === 'csv'
          ? parseCsv(text, { columns: true })
          : (format === 'json' ? [text] : text.trimEnd().split('\n')).map((line) => JSON.parse(line));
      expect(values.length, file).toBeGreaterThan(0);
      for (const value of values) expect(schema.safeParse(value).error, file).toBeUndefined();
      checked.add(name);
    }
  }
  expect([...checked].sort()).toEqual([
    'event',
    'lm-eval-results',
    'lm-eval-sample',
    'long-doc-result',
    'long-doc-row',
    'run',
    'vllm-bench',
  ]);
}

function json(bench: Bench, ...parts: readonly string[]): unknown {
  return JSON.parse(readFileSync(path.join(bench.resultsDir, ...parts), 'utf8'));
}

describe('a whole run on the simulator', () => {
  test('passes, and leaves the whole tree of results, all of it valid and marked as simulated', async ({ bench }) => {
    const ended = await bench.run(['mp-test'], steadyBench);
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toContain('SIMULATED ENGINES: no GPU is used');
    expect(ended.stdout).toMatch(/PASSED \[SIMULATED\]/);

    const stem = (name: string) => name.replace(/_\d{4}-\d\d-\d\dT[\d.-]+(?=\.jsonl?$)/, '_TIME');
    const engineLogs = ['lmcache-mp-test', 'vllm-baseline-test', 'vllm-mp-test'];
    expect(files(bench.resultsDir).map(stem)).toEqual(
      [
        'events.jsonl',
        'run.json',
        ...['baseline_run', 'first_run', 'second_run'].flatMap((pass) => [
          `lm_eval/${pass}/results_TIME.json`,
          `lm_eval/${pass}/samples_gsm8k_local_TIME.jsonl`,
        ]),
        ...engineLogs.map((name) => `logs/${name}-${bench.buildId}.log`),
        'logs/keeper.log',
        ...['baseline', 'lmcache'].flatMap((server) => [
          `long_doc_qa/${server}_output.txt`,
          `long_doc_qa/${server}_query_round.csv`,
          `long_doc_qa/${server}_result.json`,
          `long_doc_qa/${server}_warmup_round.csv`,
          `vllm_bench/${server}.json`,
        ]),
      ].sort(),
    );
    expectPublishedSchemas(bench.resultsDir);
    expect(readFileSync(path.join(bench.resultsDir, 'logs', 'keeper.log'), 'utf8')).toBe('');

    const record = bench.record();
    expect(record).toMatchObject({
      buildId: bench.buildId,
      engine: 'sim',
      ...simulatedNote,
      runtime: 'process',
      verdict: { outcome: 'passed', exitCode: 0 },
    });
    expect(record.steps.map(({ name, result }) => [name, result.outcome])).toEqual([
      ['build-image', 'skipped'],
      ['launch-containers', 'passed'],
      ['wait-for-vllm', 'passed'],
      ['lm-eval', 'passed'],
      ['vllm-bench', 'passed'],
      ['long-doc-qa', 'passed'],
      ['cleanup', 'passed'],
    ]);
    // run.json cannot know its own size.
    expect(record.files.map(({ path: file }) => file)).toEqual(
      files(bench.resultsDir).filter((file) => file !== 'run.json'),
    );
    expect(record.timings?.wallSeconds).toBeGreaterThan(0);
    expectSimulatedMarks(bench);
  });
});

/** Also in files whose format is somebody else's. */
function expectSimulatedMarks(bench: Bench): void {
  for (const server of ['baseline', 'lmcache']) {
    expect(json(bench, 'vllm_bench', `${server}.json`)).toMatchObject({ lmcache_ci: simulatedNote });
    expect(json(bench, 'long_doc_qa', `${server}_result.json`)).toMatchObject(simulatedNote);
    expect(readFileSync(path.join(bench.resultsDir, 'long_doc_qa', `${server}_output.txt`), 'utf8')).toMatch(
      /simulated/i,
    );
  }
  for (const file of files(path.join(bench.resultsDir, 'lm_eval')).filter((name) => /results_/.test(name))) {
    expect(json(bench, 'lm_eval', file)).toMatchObject({ lmcache_ci: simulatedNote });
  }
  for (const file of files(path.join(bench.resultsDir, 'logs')).filter((name) => name !== 'keeper.log')) {
    expect(readFileSync(path.join(bench.resultsDir, 'logs', file), 'utf8'), file).toContain('SIMULATED');
  }
}

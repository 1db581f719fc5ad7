import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { readRun, type StoredRun } from '../../results-schema/read-run.js';
import { statusOf } from '../../results-schema/run-status.js';

const folder = path.resolve(import.meta.dirname, '..', '..', 'docs', 'real-runs');
const page = readFileSync(path.join(folder, 'README.md'), 'utf8');
const scratch = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-real-runs-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** The kept run as it was written: what is gzipped here is not there. */
async function open(name: string): Promise<StoredRun> {
  const from = path.join(folder, name);
  const to = path.join(scratch, name);
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const source = path.join(entry.parentPath, entry.name);
    const target = path.join(to, path.relative(from, source)).replace(/\.gz$/, '');
    mkdirSync(path.dirname(target), { recursive: true });
    const bytes = readFileSync(source);
    writeFileSync(target, source.endsWith('.gz') ? gunzipSync(bytes) : bytes);
  }
  return await readRun(to);
}

/** Figures of a step by their names. */
function figuresOf(run: StoredRun, step: string): ReadonlyMap<string, number | null> {
  const result = run.record?.steps.find(({ name }) => name === step)?.result;
  if (result === undefined || result.outcome === 'skipped') throw new Error(`"${step}" has no figures`);
  return new Map(result.verdicts.map(({ name, measured }) => [name, measured]));
}

describe.each(['default-kernels', 'batch-invariant'])('the kept run %s', (name) => {
  it('is read by our own readers, and said truly on the page', async () => {
    const run = await open(name);
    expect(run.problems).toEqual([]);
    expect(run.record).toMatchObject({ engine: 'vllm', simulated: null, runtime: 'process' });
    const { state, files } = await statusOf(run, false);
    expect(state).toBe('finished');
    const wrong = files.filter((file) => file.state !== 'valid').map(({ path }) => path);
    expect(wrong.filter((path) => !path.includes('samples_'))).toEqual([]);
    const longDoc = figuresOf(run, 'long-doc-qa');
    const shown = [
      'query_ttft_per_prompt',
      'query_round_time_per_prompt',
      'baseline_query_ttft',
      'baseline_query_round_time',
    ];
    for (const figure of [...shown, 'engine_query_ttft', 'baseline_engine_query_ttft']) {
      expect(page, figure).toContain((longDoc.get(figure) ?? Number.NaN).toFixed(4));
    }
    expect(figuresOf(run, 'lm-eval').get('differing_samples')).toBe(0);
  });

  it('left nothing on the GPUs', async () => {
    const { record } = await open(name);
    expect(record?.gpus).toHaveLength(2);
    for (const { before, after } of record?.gpus ?? []) {
      expect(after?.processes).toEqual([]);
      expect(Math.abs((after?.usedMiB ?? Number.NaN) - (before?.usedMiB ?? Number.NaN))).toBeLessThanOrEqual(100);
    }
  });
});

it.each([
  ['fault-port-taken', 'infrastructure', 'port-taken'],
  ['fault-port-taken-late', 'infrastructure', 'port-taken'],
  ['fault-second-run', 'infrastructure', 'no-gpu'],
  ['fault-gpu-too-full', 'infrastructure', 'out-of-memory'],
  ['fault-engine-killed', 'unknown', 'engine-died'],
])('%s ended as the page says', async (name, reason, cause) => {
  const run = await open(name);
  expect(run.problems).toEqual([]);
  expect(run.record?.verdict).toMatchObject({ outcome: 'failed', exitCode: 3, reason, cause });
});

it('the run whose orchestrator was killed was ended by its keeper', async () => {
  const run = await open('fault-orchestrator-killed');
  expect(run.problems).toEqual([]);
  expect(run.record?.verdict).toBeNull();
  expect(run.orchestratorLost).toMatchObject({ orchestratorAlive: false, forced: [], problems: [] });
  expect(run.orchestratorLost?.removed).toHaveLength(3);
});

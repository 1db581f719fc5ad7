import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parseNvidiaSmi } from '../../docker/nvidia-smi-parser.js';
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

/** The mean over a CSV's column, in seconds. */
function meanOf(run: string, file: string, column: string): number {
  const [header = '', ...rows] = readFileSync(path.join(scratch, run, file), 'utf8')
    .trim()
    .split('\n');
  const at = header.split(',').indexOf(column);
  return rows.reduce((sum, row) => sum + Number(row.split(',')[at]), 0) / rows.length;
}

const complete = ['default-kernels-l1-80', 'default-kernels', 'default-kernels-warm', 'batch-invariant'];

describe.each([...complete, 'small'])('the kept run %s', (name) => {
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
      ...(name === 'small' ? [] : ['engine_query_ttft', 'baseline_engine_query_ttft']),
    ];
    for (const figure of shown) expect(page, figure).toContain((longDoc.get(figure) ?? Number.NaN).toFixed(4));
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

it('the warm run passed everything, the others failed as the page says', async () => {
  const verdicts = await Promise.all(complete.map(async (name) => (await open(name)).record?.verdict));
  expect(verdicts).toMatchObject([
    { outcome: 'failed', reason: 'cache-not-exercised', step: 'lm-eval' },
    { outcome: 'failed', reason: 'regression', step: 'long-doc-qa' },
    { outcome: 'passed', exitCode: 0 },
    { outcome: 'failed', reason: 'regression', step: 'long-doc-qa' },
  ]);
});

it.each([
  ['lmcache', 'engine_query_ttft', 'with LMCache'],
  ['baseline', 'baseline_engine_query_ttft', 'on the baseline'],
])(
  "the client's mean TTFT lies as far above the engine's own histogram as the page says: %s",
  async (side, figure, where) => {
    const aboveMs = await Promise.all(
      complete.map(async (name) => {
        const engine = figuresOf(await open(name), 'long-doc-qa').get(figure) ?? Number.NaN;
        return (meanOf(name, `long_doc_qa/${side}_query_round.csv`, 'ttft') - engine) * 1000;
      }),
    );
    const said = aboveMs.map((ms) => ms.toFixed(1));
    expect(page).toContain(`${said.slice(0, 3).join(', ')} and ${said[3]} ms `);
    expect(page).toContain(where);
    expect(Math.max(...aboveMs)).toBeLessThan(10);
    expect(Math.min(...aboveMs)).toBeGreaterThan(0);
  },
);

it('the page on the simulator has the figures of the runs with default kernels', async () => {
  const simulatorPage = readFileSync(path.join(folder, '..', 'simulator.md'), 'utf8');
  const row = async (step: string, figure: string, digits: number) => {
    const runs = await Promise.all(complete.slice(0, 3).map(open));
    const values = runs.map((run) => figuresOf(run, step).get(figure) ?? Number.NaN);
    const shown = values.map((value) =>
      value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits }),
    );
    return `| ${shown.join(', ')} |`;
  };
  for (const [step, figure, digits] of [
    ['vllm-bench', 'baseline_throughput', 0],
    ['vllm-bench', 'lmcache_throughput', 0],
    ['long-doc-qa', 'baseline_warmup_round_time', 3],
    ['long-doc-qa', 'warmup_round_time', 3],
    ['long-doc-qa', 'baseline_query_ttft', 3],
    ['long-doc-qa', 'query_ttft_per_prompt', 4],
    ['long-doc-qa', 'baseline_query_round_time', 3],
    ['long-doc-qa', 'query_round_time_per_prompt', 3],
  ] as const) {
    expect(simulatorPage, figure).toContain(await row(step, figure, digits));
  }
});

describe('LMCache killed while a bench reads from it', () => {
  const benchSchema = z.object({
    completed: z.number(),
    failed: z.number(),
    output_lens: z.array(z.number()),
    ttfts: z.array(z.number()),
    itls: z.array(z.array(z.number())),
  });

  it('let every answer complete, after one stop of mq_timeout', async () => {
    await open('small');
    const file = path.join(scratch, 'small', 'recompute', 'bench-lmcache-killed.json');
    const bench = benchSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
    expect(bench).toMatchObject({ completed: 10, failed: 0, output_lens: Array(10).fill(64) });
    const stops = bench.itls.flat().filter((seconds) => seconds > 1);
    expect(stops).toHaveLength(3);
    for (const stop of stops) expect(stop).toBeCloseTo(10.4, 1);
    expect(bench.ttfts.filter((seconds) => seconds > 1)).toEqual([expect.closeTo(10.4, 1)]);
    const log = readFileSync(path.join(scratch, 'small', 'logs', 'vllm-mp-test-small.log'), 'utf8');
    expect(log).toContain('LOOKUP to tcp://localhost:6555 timed out after 10.0s. Marking server as unhealthy.');
  });
});

describe('answers of weights that hang on the whole prompt', () => {
  const answerSchema = z.object({ first_run: z.string(), second_run: z.string(), baseline_run: z.string() });

  it('part as often, and as late, as the page says', async () => {
    const run = await open('sensitive-batch-invariant');
    const file = path.join(scratch, 'sensitive-batch-invariant', 'answers.jsonl');
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    const answers = lines.map((line) => answerSchema.parse(JSON.parse(line)));
    expect(new Set(answers.map(({ first_run }) => first_run)).size).toBe(50);
    const parted = (one: keyof (typeof answers)[0], other: keyof (typeof answers)[0]) =>
      answers
        .filter((answer) => answer[one] !== answer[other])
        .map((answer) => {
          const words = answer[other].split(' ');
          return answer[one].split(' ').findIndex((word, index) => word !== words[index]);
        });
    const row = (words: readonly number[]) => `${words.length} | ${Math.min(...words)} to ${Math.max(...words)}`;
    expect(page).toContain(`computed, then from LMCache | ${row(parted('first_run', 'second_run'))}`);
    expect(page).toContain(`computed by the baseline | ${row(parted('first_run', 'baseline_run'))}`);
    expect(page).toContain(`from LMCache, computed by the baseline | ${row(parted('second_run', 'baseline_run'))}`);
    expect(figuresOf(run, 'lm-eval').get('differing_samples')).toBe(12);
    expect(figuresOf(run, 'lm-eval').get('baseline_differences')).toBe(4);
    expect(run.record?.verdict).toMatchObject({ reason: 'incorrect-output', cause: 'output-differs' });
  });
});

it.each([
  ['fault-port-taken', 'infrastructure', 'port-taken'],
  ['fault-port-taken-late', 'infrastructure', 'port-taken'],
  ['fault-second-run', 'infrastructure', 'no-gpu'],
  ['fault-gpu-too-full', 'infrastructure', 'out-of-memory'],
  ['fault-engine-killed', 'infrastructure', 'engine-died'],
  ['fault-lmcache-killed', 'infrastructure', 'engine-unreachable'],
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
  // On the cards: what the run beside it had, by the pids of its own logs, and nothing else.
  await open('batch-invariant');
  const logs = path.join(scratch, 'batch-invariant', 'logs');
  const beside = readdirSync(logs).flatMap((file) =>
    [...readFileSync(path.join(logs, file), 'utf8').matchAll(/^\(EngineCore pid=(\d+)\)/gm)].map(([, pid]) =>
      Number(pid),
    ),
  );
  const later = readFileSync(path.join(scratch, 'fault-orchestrator-killed', 'nvidia-smi-later.xml'), 'utf8');
  const seen = parseNvidiaSmi(later).gpus.flatMap(({ processes }) => processes);
  const cores = seen.filter(({ name }) => name === 'VLLM::EngineCore').map(({ pid }) => pid);
  expect(cores.toSorted()).toEqual([...new Set(beside)].toSorted());
  // The third is its LMCache server, which does not say its pid.
  expect(seen).toHaveLength(3);
});

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { SweepExperiment } from '../../results-schema/sweep-summary.js';
import { test } from './bench.js';
import { directories, prepare, summaryOf } from './sweep-files.js';

const today = '\\d{4}-\\d{2}-\\d{2}';

/** All that does not depend on how long something took, or where it ran. */
function timeless({ name, position, configuration, result }: SweepExperiment): unknown {
  if (result.outcome !== 'successful') return { name, position, configuration, outcome: result.outcome };
  const { requests, inputTokens, outputTokens, cache, conversations } = result.measurement;
  const turns = conversations.byTurn.map(({ turn, requests: count, meanPromptTokens, cachedShare }) => {
    return { turn, count, meanPromptTokens, cachedShare };
  });
  const figures = { requests, inputTokens, outputTokens, cache, turns, count: conversations.conversations };
  return { name, position, configuration, outcome: result.outcome, figures };
}

const grid = `tag: grid
model_name: llama-8b
log_base_dir: OUT
defaults: {num_prompts: 12, time_limit: 60}
experiments:
  datasets:
    - path: data/talk.csv
      cache_sizes: [16, 32]
      request_rates: [2, 4]
`;

test('a killed sweep resumes to the same summary as an unbroken one, and shards merge to it', async ({ bench }) => {
  const file = await prepare(bench, grid);
  const args = ['sweep', '--yaml', file, '--gpus', '2', '--sim-speed', '20'];
  const whole = await bench.run(args);
  expect(whole.code, whole.output).toBe(0);
  expect(whole.stdout).toMatch(/total experiments: +4\n +successful: +4\n +failed: +0\n +average execution time: \S/);
  expect(whole.stdout).toContain('SIMULATED');
  const [first = ''] = directories(file);
  expect(path.basename(first)).toMatch(new RegExp(`^grid_${today}$`));
  const expected = summaryOf(first).experiments;
  const names = ['talk_16gb_2rps_lru', 'talk_16gb_4rps_lru', 'talk_32gb_2rps_lru', 'talk_32gb_4rps_lru'];
  expect(expected.map(({ name }) => name)).toEqual(names);
  for (const { serverLog, clientLog, result } of expected) {
    expect(readFileSync(path.join(first, serverLog), 'utf8')).toContain('Application startup complete');
    expect(readFileSync(path.join(first, clientLog), 'utf8')).toContain('conversation=0 turn=1 ');
    expect(result).toMatchObject({ outcome: 'successful', measurement: { requests: { completed: 12, failed: 0 } } });
  }
  for (const report of ['report.html', 'report.csv', 'report.pdf'])
    expect(existsSync(path.join(first, report))).toBe(true);

  // Killed before anything ran, while servers start, and after some have ended.
  for (const [point, extra] of [
    [/experiments on 2 simulated GPUs/, []],
    [/GPU \d: \S+ started/, ['--resume']],
    [/GPU \d: \S+: 12 requests/, ['--resume']],
  ] as const) {
    // The unbroken one is complete: the first of these begins anew.
    const killed = bench.start([...args, ...extra]);
    await killed.says(point);
    killed.kill('SIGKILL');
    await killed.ended;
  }
  const broken = directories(file).find((directory) => directory !== first) ?? '';
  expect(path.basename(broken)).toMatch(new RegExp(`^grid_${today}_2$`));
  expect(summaryOf(broken).totals.pending).toBeGreaterThan(0);
  const resumed = await bench.run([...args, '--resume']);
  expect(resumed.code, resumed.output).toBe(0);
  expect(directories(file)).toHaveLength(2);
  expect(summaryOf(broken).experiments.map(timeless)).toEqual(expected.map(timeless));
  const again = await bench.run([...args, '--resume']);
  expect(again.stdout).toContain('0 experiments on 2 simulated GPUs');

  const shards = await Promise.all([1, 2].map((shard) => bench.run([...args, '--shard', `${shard}/2`])));
  for (const shard of shards) expect(shard.code, shard.output).toBe(0);
  const parts = directories(file).filter((directory) => /_\d-of-2$/.test(directory));
  const merged = path.join(path.dirname(file), 'merged');
  const half = await bench.run(['sweep', 'merge', ...parts.slice(1), '--out', `${merged}-half`]);
  expect(half.code, half.output).toBe(3);
  expect(half.stderr).toContain('2 of 4 experiments are in none of these directories');
  const merge = await bench.run(['sweep', 'merge', ...parts, '--out', merged]);
  expect(merge.code, merge.output).toBe(0);
  expect(summaryOf(merged).experiments.map(timeless)).toEqual(expected.map(timeless));
  expect(existsSync(path.join(merged, 'server_talk_32gb_4rps_lru.log'))).toBe(true);
});

const twoDocuments = `model_name: broken
tag: broken
log_base_dir: OUT
experiments: {datasets: [{path: data/talk.csv, num_prompts: 4}]}
---
model_name: llama-70b
tag: wide
log_base_dir: OUT
experiments:
  - datasets: [{path: data/talk.csv, num_prompts: 4, request_rates: [8], use_conversation_evictions: [false, true]}]
`;

test('a server that fails blocks nobody; all documents run, on as many GPUs as their models take', async ({
  bench,
}) => {
  const file = await prepare(bench, twoDocuments);
  const models = path.join(path.dirname(file), 'lmcache-ci.models.yaml');
  writeFileSync(models, 'models: [{name: broken, huggingface_path: nobody/no-such-model}]\n');
  const args = ['sweep', '--yaml', file, '--gpus', '4', '--sim-speed', '20'];
  const run = await bench.run(args);
  expect(run.code, run.output).toBe(3);
  expect(run.stdout).toContain('2 documents, all of them run');
  expect(run.stdout).toContain('FAILED (unknown, engine-died): The server died before it served');
  expect(run.stdout).toMatch(/GPU 0\+1\+2\+3: talk_64gb_8rps_conversation: 4 requests/);
  const [broken = '', wide = ''] = directories(file).sort();
  expect(summaryOf(broken).experiments[0]?.result).toMatchObject({ outcome: 'failed', cause: 'engine-died' });
  expect(summaryOf(wide).totals).toMatchObject({ total: 2, successful: 2, failed: 0 });

  const narrow = await bench.run(['sweep', '--yaml', file, '--gpus', '2']);
  expect(narrow.code).toBe(2);
  expect(narrow.stderr).toContain('--gpus is "2", and one experiment takes 4 GPUs');

  // What has failed is complete, until it is to be tried again.
  writeFileSync(models, 'models: [{name: broken, huggingface_path: meta-llama/Llama-3.1-8B}]\n');
  const changed = await bench.run([...args, '--resume', '--retry-failed']);
  expect(changed.code).toBe(2);
  expect(changed.stderr).toContain("holds another grid: the sweep's file has changed since");
});

test('Ctrl-C ends all servers, keeps what is done and leaves the rest to --resume', async ({ bench }) => {
  const file = await prepare(bench, grid);
  const run = bench.start(['sweep', '--yaml', file, '--gpus', '1', '--sim-speed', '20']);
  await run.says(/GPU 0: \S+: 12 requests/);
  run.signalGroup('SIGINT');
  const ended = await run.ended;
  expect(ended.code, ended.output).toBe(130);
  expect(ended.stdout).toContain('(--resume runs them)');
  const { totals } = summaryOf(directories(file)[0] ?? '');
  expect(totals.successful).toBeGreaterThan(0);
  expect(totals.pending).toBeGreaterThan(0);
});

test('usage errors and --dry-run start nothing; the file is told with every fault in its place', async ({ bench }) => {
  const file = await prepare(bench, grid.replace('[2, 4]', '[2, -4, x]').replace('llama-8b', 'lama-8b'));
  const broken = await bench.run(['sweep', '--yaml', file]);
  expect(broken.code).toBe(2);
  expect(broken.stderr).toMatch(/sweep\.yaml:9:26: .*request_rates\[1\] is "-4"; allowed: at least one number/);
  expect(broken.stderr).toMatch(/sweep\.yaml:9:30: .*request_rates\[2\] is "x"/);
  for (const [flags, message] of [
    [['--shard', '3/2'], /--shard is "3\/2"; allowed: i\/n/],
    [['--gpus', 'many'], /--gpus is "many"; allowed: a whole number/],
    [['--environment', 'lmcach'], /--environment: environment "lmcach" is unknown; near: LMCACHE/],
    [['--retry-failed'], /--retry-failed goes with --resume/],
    [['--yml', 'x'], /Unknown argument "--yml"/],
  ] as const) {
    const wrong = await bench.run(['sweep', ...flags]);
    expect(wrong.code, wrong.output).toBe(2);
    expect(wrong.stderr).toMatch(message);
  }
  writeFileSync(file, grid.replaceAll('OUT', path.join(path.dirname(file), 'out')));
  const dry = await bench.run(['sweep', '--yaml', file, '--dry-run']);
  expect(dry.code, dry.output).toBe(0);
  expect(dry.stdout).toMatch(/talk_16gb_2rps_lru +16 +2 +LRU +12 +60 +1\n/);
  expect(dry.stdout).toContain('LMCACHE_CHUNK_SIZE=256 LMCACHE_LOCAL_CPU=True LMCACHE_MAX_LOCAL_CPU_SIZE=16 ');
  expect(dry.stdout).toMatch(/about \d.* on \d+ GPUs/);
  expect(existsSync(path.join(path.dirname(file), 'out'))).toBe(false);
});

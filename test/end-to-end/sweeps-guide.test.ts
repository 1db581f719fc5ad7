import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { sweepSummarySchema } from '../../results-schema/sweep-summary.js';
import { root, test } from './bench.js';

// The files of docs/sweeps.md, taken out of the page and used.
const page = readFileSync(path.join(root, 'docs', 'sweeps.md'), 'utf8');

function blockOf(file: string): string {
  const block = page.match(new RegExp(`\\*\\*\`${file}\`\\*\\*\\n\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``))?.[1];
  if (block === undefined) throw new Error(`docs/sweeps.md has no block for "${file}"`);
  return block;
}

test('the guides to a model, an environment and a data set reader work as they stand', async ({ bench }) => {
  const directory = path.join(bench.directory, 'work');
  for (const file of ['lmcache-ci.models.yaml', 'lmcache-ci.models.ts', 'sweep.yaml', 'questions.jsonl']) {
    writeFileSync(path.join(directory, file), blockOf(file));
  }
  const models = await bench.run(['models']);
  expect(models.stdout).toMatch(/my-new-model +my-org\/Llama-3\.1-8B-Instruct +2 +1 +2 +8192 +LAB: \/data\/models/);
  const environments = await bench.run(['environments', '--environment', 'LAB']);
  expect(environments.stdout).toMatch(/\* +LAB +alice, bob +LMCACHE_CHUNK_SIZE=128 LMCACHE_LOCAL_CPU=True/);

  const run = await bench.run(['sweep', '--yaml', 'sweep.yaml', '--gpus', '4', '--sim-speed', '20']);
  expect(run.code, run.output).toBe(0);
  expect(run.stdout).toMatch(/GPU \d\+\d: questions_8gb_4rps_lru: 3 requests/);
  const [results = ''] = readdirSync(path.join(directory, 'logs'));
  const summary = sweepSummarySchema.parse(
    JSON.parse(readFileSync(path.join(directory, 'logs', results, 'summary.json'), 'utf8')),
  );
  expect(summary.experiments).toHaveLength(2);
  for (const { configuration, result } of summary.experiments) {
    expect(configuration.dataset.format).toBe('my-questions');
    expect(result).toMatchObject({ measurement: { outputTokens: 36, conversations: { conversations: 2, turns: 3 } } });
  }
});

test('a reader that yields nonsense is told by turn', async ({ bench }) => {
  const directory = path.join(bench.directory, 'work');
  for (const file of ['lmcache-ci.models.yaml', 'lmcache-ci.models.ts', 'sweep.yaml']) {
    writeFileSync(path.join(directory, file), blockOf(file));
  }
  writeFileSync(path.join(directory, 'questions.jsonl'), '{"user": "ann", "at": 0, "text": "x", "answerTokens": -1}\n');
  const run = await bench.run(['sweep', '--yaml', 'sweep.yaml', '--gpus', '2']);
  expect(run.code, run.output).toBe(2);
  expect(run.stdout).toContain(
    'turn 1 of the reader "my-questions": answer is "-1"; allowed: a text, or a whole number',
  );
});

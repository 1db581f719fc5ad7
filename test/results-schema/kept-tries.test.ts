import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { isSettled, stepHistory } from '../../results-schema/completed-steps.js';
import type { RunEvent } from '../../results-schema/events.js';
import { setAside } from '../../results-schema/kept-tries.js';
import type { StepResult } from '../../results-schema/step-result.js';

function filesOf(root: string): readonly string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .sort();
}

it('moves what a try wrote out of the way of the next, and nothing of the run or of earlier steps', async () => {
  const root = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-tries-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const write = (file: string) => {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), file);
  };
  write('lm_eval/first_run/samples.jsonl');
  const old = new Date(Date.now() - 60_000);
  utimesSync(path.join(root, 'lm_eval/first_run/samples.jsonl'), old, old);
  const since = Date.now();
  for (const file of ['run.json', 'events.jsonl', 'logs/vllm.log', 'vllm_bench/baseline.json', 'vllm_bench/.x.1.tmp'])
    write(file);
  expect(await setAside(root, 'vllm-bench', since)).toBe('tries/vllm-bench-1');
  expect(await setAside(root, 'vllm-bench', since)).toBeNull();
  write('vllm_bench/baseline.json');
  expect(await setAside(root, 'vllm-bench', since)).toBe('tries/vllm-bench-2');
  expect(filesOf(root)).toEqual([
    'events.jsonl',
    'lm_eval/first_run/samples.jsonl',
    'logs/vllm.log',
    'run.json',
    'tries/vllm-bench-1/vllm_bench/.x.1.tmp',
    'tries/vllm-bench-1/vllm_bench/baseline.json',
    'tries/vllm-bench-2/vllm_bench/baseline.json',
  ]);
});

it('tells the last try of each step, and which results need no other', () => {
  const stamp = { t: 0, at: '2026-11-22T00:00:00.000Z', pid: 1 };
  const failed: StepResult = {
    outcome: 'failed',
    reason: 'infrastructure',
    cause: 'timeout',
    message: 'late',
    evidence: [],
    verdicts: [],
  };
  const begun = (step: string): RunEvent => ({ ...stamp, type: 'step-started', step, title: step });
  const ended = (step: string, result: StepResult): RunEvent => ({
    ...stamp,
    type: 'step-finished',
    step,
    durationSeconds: 1,
    result,
  });
  const history = stepHistory([begun('a'), ended('a', failed), begun('b'), ended('b', failed), begun('a')]);
  expect(history.map(({ name, end }) => [name, end?.result.outcome ?? null])).toEqual([
    ['a', null],
    ['b', 'failed'],
  ]);
  expect(isSettled(failed)).toBe(false);
  expect(isSettled({ ...failed, reason: 'regression' })).toBe(true);
  expect(isSettled({ outcome: 'skipped', why: 'x' })).toBe(true);
  expect(isSettled({ outcome: 'inconclusive', reason: 'noise', message: 'x', verdicts: [] })).toBe(false);
});

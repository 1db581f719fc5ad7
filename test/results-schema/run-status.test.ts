import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { renderStatus } from '../../report/status-text.js';
import type { RunEventInput } from '../../results-schema/events.js';
import { readRun } from '../../results-schema/read-run.js';
import { statusOf } from '../../results-schema/run-status.js';
import { sampleRun } from './sample-run.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lmcache-ci-status-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const started: RunEventInput = {
  ...{ type: 'run-started', buildId: 'b-1', command: ['mp-test'], engine: 'sim', runtime: 'process' },
  steps: ['launch-containers', 'lm-eval', 'long-doc-qa', 'cleanup'],
};
const stepStarted = (step: string): RunEventInput => ({ type: 'step-started', step, title: step });
const stepPassed = (step: string): RunEventInput => ({
  ...{ type: 'step-finished', step, durationSeconds: 1 },
  result: { outcome: 'passed', verdicts: [] },
});

function write(events: readonly RunEventInput[], rest = ''): void {
  const lines = events.map((event) => JSON.stringify({ ...event, t: 0, at: '2025-11-22T10:15:00.000Z', pid: 1 }));
  writeFileSync(join(root, 'events.jsonl'), `${lines.join('\n')}\n${rest}`);
}
const status = async (isLive = false) => statusOf(await readRun(root), isLive);

describe('the status of a results directory', () => {
  it('of a run that was killed in the middle of a step: what is missing, and why', async () => {
    write(
      [started, stepStarted('launch-containers'), stepPassed('launch-containers'), stepStarted('lm-eval')],
      '{"type":"lo',
    );
    writeFileSync(join(root, '.run.json.1.1.tmp'), '{"half');
    const found = await status();
    expect(found).toMatchObject({ buildId: 'b-1', state: 'ended-without-verdict', problems: [] });
    expect(found.steps.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'launch-containers passed',
      'lm-eval cut-off',
      'long-doc-qa not-run',
      'cleanup not-run',
    ]);
    expect(found.files).toEqual(
      expect.arrayContaining([
        { path: 'events.jsonl', state: 'valid', why: null },
        expect.objectContaining({ path: '.run.json.1.1.tmp', state: 'temporary' }),
        expect.objectContaining({ path: 'lm_eval/first_run/samples_*.jsonl', state: 'missing' }),
        expect.objectContaining({ path: 'long_doc_qa/lmcache_result.json', state: 'missing' }),
        expect.objectContaining({ path: 'run.json', state: 'missing' }),
      ]),
    );
    expect(renderStatus(found, root)).toContain('lm_eval/second_run/samples_*.jsonl  missing: step "lm-eval" cut-off');
  });

  it('of a run whose keeper has cleaned up after it', async () => {
    write([started]);
    const note = {
      ...{ buildId: 'b-1', at: '2025-11-22T10:16:00.000Z', orchestratorPid: 4711, orchestratorAlive: false },
      ...{ removed: ['vllm'], forced: [], problems: ['gpu 0 is held'] },
    };
    writeFileSync(join(root, 'orchestrator-lost.json'), JSON.stringify(note));
    const found = await status();
    expect(found.state).toBe('orchestrator-lost');
    expect(found.summary).toContain('infrastructure: orchestrator lost at 2025-11-22T10:16:00.000Z (process 4711');
    expect(found.problems).toEqual(['not removed: gpu 0 is held']);
  });

  it('of a run that goes on', async () => {
    write([started, stepStarted('launch-containers')]);
    const found = await status(true);
    expect(found.state).toBe('running');
    expect(found.steps[0]).toMatchObject({ state: 'running' });
    expect(found.steps[1]).toMatchObject({ state: 'not-run', why: 'not yet' });
  });

  it('of a finished run: its verdict, and a file that is no longer valid', async () => {
    writeFileSync(join(root, 'run.json'), JSON.stringify(sampleRun({ buildId: 'b-1' })));
    mkdirSync(join(root, 'long_doc_qa'));
    writeFileSync(join(root, 'long_doc_qa', 'lmcache_result.json'), '{"query_ttft');
    const found = await status();
    expect(found).toMatchObject({ state: 'finished', summary: 'passed (exit code 0): 2 steps passed' });
    expect(found.files).toContainEqual(
      expect.objectContaining({ path: 'long_doc_qa/lmcache_result.json', state: 'invalid' }),
    );
    expect(found.files).toContainEqual(
      expect.objectContaining({ path: 'long_doc_qa/baseline_result.json', state: 'missing' }),
    );
  });

  it('of single steps: what all of them came to, not what the last one did', async () => {
    const failed: RunEventInput = {
      ...{ type: 'step-finished', step: 'long-doc-qa', durationSeconds: 1 },
      result: {
        ...{ outcome: 'failed', reason: 'regression', cause: 'threshold', message: 'too slow' },
        ...{ evidence: [], verdicts: [] },
      },
    };
    const passed = { outcome: 'passed' as const, exitCode: 0 as const, message: '1 step passed' };
    write([
      ...[{ ...started, steps: ['long-doc-qa'] }, stepStarted('long-doc-qa'), failed],
      ...[{ ...started, steps: ['cleanup'] }, stepStarted('cleanup'), stepPassed('cleanup')],
      { type: 'run-finished', verdict: passed },
    ]);
    expect((await status()).summary).toBe('failed (exit code 1): too slow');
  });

  it('of a directory without a run is that there is none', async () => {
    expect((await status()).buildId).toBeNull();
  });
});

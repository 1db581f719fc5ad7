import { describe, expect, it } from 'vitest';
import { renderSummary } from '../../report/summary-markdown.js';
import type { StepRecord } from '../../results-schema/run-record.js';
import { sampleRun } from '../results-schema/sample-run.js';

const options = { resultsDirectory: '/tmp/lmcache_ci_results_x', logs: [] };
const failed: StepRecord = {
  name: 'lm-eval',
  title: 'lm-eval',
  kind: 'test',
  startedAt: '2025-11-22T10:15:00.000Z',
  durationSeconds: 15.8,
  result: {
    outcome: 'failed',
    reason: 'incorrect-output',
    cause: 'output-differs',
    message: '2 of 300 samples differ',
    evidence: ['sample 3: "18" | "19"', '``` a fence of the model ```'],
    verdicts: [
      {
        name: 'n',
        title: 'samples | that *differ*',
        unit: '',
        measured: 2,
        comparison: '==',
        threshold: 0,
        marginPercent: null,
        outcome: 'failed',
      },
    ],
  },
};
const failedRun = sampleRun({
  steps: [failed],
  verdict: {
    outcome: 'failed',
    exitCode: 1,
    reason: 'incorrect-output',
    cause: 'output-differs',
    step: 'lm-eval',
    message: 'm',
  },
});

describe('Markdown summary', () => {
  it('tells a passed run in a table, marked as simulated', () => {
    const summary = renderSummary(sampleRun(), options);
    expect(summary).toContain('## ✅ lmcache-ci: passed (SIMULATED)\n\n> **SIMULATED (profile "h200", speed x10)');
    expect(summary).toContain('| TTFT with LMCache | 0.1483 s | &lt;= 0.22 s | +32.6 % |  | ✅ passed |');
    expect(summary).toContain('<code>/tmp/lmcache&#95;ci&#95;results&#95;x</code>');
    expect(summary.endsWith('\n')).toBe(true);
  });

  it('is not marked on real hardware', () => {
    expect(renderSummary(sampleRun({ engine: 'vllm', simulated: null }), options)).not.toMatch(/simulat/i);
  });

  it('tells reason, message and evidence of a failure', () => {
    const summary = renderSummary(failedRun, options);
    expect(summary).toContain('## ❌ lmcache-ci: incorrect-output in lm-eval (SIMULATED)');
    expect(summary).toContain(
      '### lm-eval: incorrect-output (output-differs)\n\n2 of 300 samples differ\n\n````text\nsample 3: "18" | "19"\n',
    );
  });

  it('keeps table cells whole whatever is in them', () => {
    const row = renderSummary(failedRun, options)
      .split('\n')
      .find((line) => line.includes('that'));
    expect(row).toBe('| samples &#124; that &#42;differ&#42; | 2 | == 0 |  |  | ❌ failed |');
  });

  it('lets no HTML, mention or link of an engine through', () => {
    const evil = '<img src=x onerror=alert(1)> @everyone [x](javascript:y)\n# heading';
    const step: StepRecord = { ...failed, result: { ...failed.result, message: evil } as StepRecord['result'] };
    const summary = renderSummary(sampleRun({ steps: [step] }), options);
    expect(summary).not.toContain('<img');
    expect(summary).not.toContain('@everyone');
    expect(summary).not.toContain('[x]');
    expect(summary).not.toMatch(/^# heading/m);
  });

  it('folds the end of each log, in a fence that its text cannot close', () => {
    const logs = [{ path: '/r/logs/vllm.log', lines: ['`````', '</details>', 'last'], answeredRequests: 0 }];
    const summary = renderSummary(failedRun, { ...options, logs });
    expect(summary).toContain('<details><summary>/r/logs/vllm.log: last 3 lines</summary>\n\n``````text\n`````\n');
  });

  it.each([
    [null, 'not finished'],
    [
      { outcome: 'interrupted', exitCode: 143, signal: 'SIGTERM', step: null, message: 'm' } as const,
      'interrupted by SIGTERM',
    ],
    [
      { outcome: 'inconclusive', exitCode: 3, reason: 'noise', step: 'vllm-bench', message: 'm' } as const,
      'inconclusive, noise in vllm-bench',
    ],
  ])('heads a run that came to %j', (verdict, words) => {
    expect(renderSummary(sampleRun({ verdict }), options).split('\n')[0]).toContain(words);
  });
});

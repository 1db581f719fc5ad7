import { describe, expect, it } from 'vitest';
import { painter, wantsColor } from '../../report/colors.js';
import { renderFailure, renderOutcome } from '../../report/failure-text.js';
import { renderTimeTable } from '../../report/time-table.js';
import { renderVerdictTable } from '../../report/verdict-table.js';
import type { RunRecord, StepRecord } from '../../results-schema/run-record.js';
import type { StepResult } from '../../results-schema/step-result.js';
import { sampleRun } from '../results-schema/sample-run.js';

const plain = { color: false };
const real: Partial<RunRecord> = { engine: 'vllm', simulated: null, runtime: 'docker' };

function step(name: string, result: StepResult): StepRecord {
  return { name, title: name, kind: 'test', startedAt: '2025-11-22T10:15:00.000Z', durationSeconds: 1, result };
}
const slow: StepResult = {
  outcome: 'failed',
  reason: 'regression',
  cause: 'threshold',
  message: 'TTFT with LMCache is 0.31 s, allowed are 0.22 s',
  evidence: ['request 7 took 1.2 s'],
  verdicts: [
    {
      name: 'ttft',
      title: 'TTFT with LMCache',
      unit: 's',
      measured: 0.31,
      comparison: '<=',
      threshold: 0.22,
      marginPercent: -40.9,
      outcome: 'failed',
    },
    {
      name: 'hits',
      title: 'GPU hits',
      unit: '',
      measured: 12,
      comparison: null,
      threshold: null,
      marginPercent: null,
      outcome: 'reported',
      note: 'for information',
    },
  ],
};

describe('colours', () => {
  const terminal = { isTTY: true };
  it.each([
    ['a terminal', {}, terminal, true],
    ['a pipe', {}, {}, false],
    ['NO_COLOR on a terminal', { NO_COLOR: '1' }, terminal, false],
    ['an empty NO_COLOR, which counts as unset', { NO_COLOR: '' }, terminal, true],
    ['NO_COLOR against FORCE_COLOR', { NO_COLOR: '1', FORCE_COLOR: '1' }, terminal, false],
    ['FORCE_COLOR in a pipe', { FORCE_COLOR: '1' }, {}, true],
    ['FORCE_COLOR=0 on a terminal', { FORCE_COLOR: '0' }, terminal, false],
    ['a dumb terminal', { TERM: 'dumb' }, terminal, false],
  ])('%s', (_, environment, stream, expected) => expect(wantsColor(environment, stream)).toBe(expected));

  it('do not move a column', () => {
    const run = sampleRun({ steps: [step('long-doc-qa', slow)] });
    const colored = renderVerdictTable(run, { color: true });
    expect(colored).toContain(painter(true).bold.red('FAILED'));
    expect(colored.replace(/\x1b\[\d+m/g, '')).toBe(renderVerdictTable(run, plain));
  });
});

describe('verdict table', () => {
  it('lists each verdict with measured value, threshold and margin, aligned', () => {
    const steps = [
      ...sampleRun().steps,
      step('vllm-bench', slow),
      step('cleanup', { outcome: 'skipped', why: '--keep' }),
    ];
    expect(`\n${renderVerdictTable(sampleRun({ ...real, steps }), plain)}\n`).toBe(`
Step           Verdict            Measured  Threshold   Margin  Outcome
wait-for-vllm                                                   passed
long-doc-qa    TTFT with LMCache  0.1483 s  <= 0.22 s  +32.6 %  passed
vllm-bench     TTFT with LMCache    0.31 s  <= 0.22 s  -40.9 %  FAILED
               GPU hits                 12                      reported (for information)
cleanup                                                         skipped (--keep)
`);
  });

  it('shows a failure that no verdict shows', () => {
    const died: StepResult = {
      outcome: 'failed',
      reason: 'infrastructure',
      cause: 'engine-died',
      message: 'm',
      evidence: [],
      verdicts: [
        {
          name: 'n',
          title: 'N',
          unit: '',
          measured: 1,
          comparison: '>=',
          threshold: 1,
          marginPercent: 0,
          outcome: 'passed',
        },
      ],
    };
    const table = renderVerdictTable(sampleRun({ steps: [step('lm-eval', died)] }), plain);
    expect(table).toMatch(/lm-eval +N +1 +>= 1 +\+0\.0 % {2}passed\n +FAILED \(infrastructure, engine-died\)/);
  });

  it('shows what could not be measured as a dash', () => {
    const unmeasured: StepResult = {
      outcome: 'inconclusive',
      reason: 'noise',
      message: 'm',
      verdicts: [
        {
          name: 'n',
          title: 'N',
          unit: 's',
          measured: null,
          comparison: '<=',
          threshold: 1,
          marginPercent: null,
          outcome: 'inconclusive',
        },
      ],
    };
    expect(renderVerdictTable(sampleRun({ ...real, steps: [step('x', unmeasured)] }), plain)).toMatch(
      /N +- +<= 1 s +inconclusive$/,
    );
  });
});

describe('the simulator’s mark', () => {
  it('stands on each report of a simulated run', () => {
    const run = sampleRun();
    expect(renderVerdictTable(run, plain)).toMatch(/^SIMULATED \(profile "h200", speed x10\)/);
    expect(renderTimeTable(run, plain)).toMatch(/^SIMULATED/);
    expect(renderOutcome(run, plain)).toBe('PASSED [SIMULATED]: 2 steps passed');
  });
  it('stands on none of a real run', () => {
    const run = sampleRun(real);
    const all = [renderVerdictTable(run, plain), renderTimeTable(run, plain), renderOutcome(run, plain)].join('\n');
    expect(all).not.toMatch(/simulated/i);
  });
});

describe('time table', () => {
  it('shows steps, parts and shares', () => {
    expect(`\n${renderTimeTable(sampleRun(real), plain)}\n`).toBe(`
Where the time went  Wall time    Share
wait-for-vllm           2.25 s    3.8 %
long-doc-qa             48.1 s   80.2 %
between steps           9.65 s   16.1 %
of which
  engine start          2.10 s    3.5 %
  workloads             47.0 s   78.3 %
  child processes       10.0 s   16.7 %
  stopping engines      0.20 s    0.3 %
  lmcache-ci's own      0.70 s    1.2 %
all                     60.0 s  100.0 %
`);
  });
  it('does without timings', () => {
    expect(renderTimeTable(sampleRun({ ...real, timings: null }), plain)).toMatch(/all +50\.4 s +100\.0 %$/);
  });
});

describe('failure text', () => {
  it('gives reason, message and evidence', () => {
    expect(renderFailure(step('vllm-bench', slow), plain).split('\n')).toEqual([
      'vllm-bench failed: regression (threshold)',
      'TTFT with LMCache is 0.31 s, allowed are 0.22 s',
      '',
      '  request 7 took 1.2 s',
    ]);
  });
  it('is silent about what did not fail', () => {
    expect(renderFailure(step('a', { outcome: 'passed', verdicts: [] }), plain)).toBe('');
    expect(renderFailure(step('a', { outcome: 'skipped', why: '' }), plain)).toBe('');
  });
  it('says why nothing was concluded', () => {
    const result: StepResult = {
      outcome: 'inconclusive',
      reason: 'noise',
      message: '12 % faster than the baseline',
      verdicts: [],
    };
    expect(renderFailure(step('a', result), plain)).toBe('a is inconclusive: noise\n12 % faster than the baseline');
  });
});

describe('last line', () => {
  it.each([
    [
      {
        outcome: 'failed',
        exitCode: 1,
        reason: 'regression',
        cause: 'threshold',
        step: 'long-doc-qa',
        message: 'too slow',
      },
      'FAILED: long-doc-qa: too slow (regression, exit code 1)',
    ],
    [
      { outcome: 'inconclusive', exitCode: 3, reason: 'noise', step: 'vllm-bench', message: 'too fast' },
      'INCONCLUSIVE: vllm-bench: too fast (noise, exit code 3)',
    ],
    [
      { outcome: 'interrupted', exitCode: 130, signal: 'SIGINT', step: null, message: 'interrupted by SIGINT' },
      'INTERRUPTED: interrupted by SIGINT (exit code 130)',
    ],
    [null, 'NOT FINISHED'],
  ] satisfies [RunRecord['verdict'], string][])('%#', (verdict, text) => {
    expect(renderOutcome(sampleRun({ ...real, verdict }), plain)).toBe(text);
  });
});

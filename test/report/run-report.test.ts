import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cellText } from '../../report/pages/report-document.js';
import { junitXml } from '../../report/run/junit.js';
import { readLatencies } from '../../report/run/measured-latencies.js';
import { runReport } from '../../report/run/run-report.js';
import { runReportFormats, writeRunReport } from '../../report/run/write-run-report.js';
import type { StepRecord } from '../../results-schema/run-record.js';
import { sampleRun } from '../results-schema/sample-run.js';

const evil = '"><script>alert(1)</script>\u0000]]>';

function step(name: string, result: StepRecord['result']): StepRecord {
  return { name, title: name, kind: 'test', startedAt: '2025-11-22T10:15:00.000Z', durationSeconds: 1.5, result };
}

const mixed = sampleRun({
  steps: [
    step('good', { outcome: 'passed', verdicts: [] }),
    step('absent', { outcome: 'skipped', why: evil }),
    step('noisy', { outcome: 'inconclusive', reason: 'noise', message: 'too noisy', verdicts: [] }),
    step('slow', {
      outcome: 'failed',
      reason: 'regression',
      cause: 'threshold',
      message: evil,
      evidence: [evil],
      verdicts: [],
    }),
    step('dead', {
      outcome: 'failed',
      reason: 'infrastructure',
      cause: 'engine-died',
      message: 'm',
      evidence: [],
      verdicts: [],
    }),
  ],
});

describe('JUnit', () => {
  it('tells faults of the code under test from trouble that says nothing about it', () => {
    const xml = junitXml(mixed);
    expect(XMLValidator.validate(xml)).toBe(true);
    expect(xml).not.toMatch(/<script|\u0000/);
    const { testsuite } = new XMLParser({ ignoreAttributes: false }).parse(xml).testsuites;
    expect(testsuite).toMatchObject({
      '@_name': 'lmcache-ci (SIMULATED)',
      '@_tests': '5',
      '@_failures': '1',
      '@_errors': '2',
      '@_skipped': '1',
    });
    const [good, , noisy, slow, dead] = testsuite.testcase;
    expect(Object.keys(good).filter((key) => !key.startsWith('@_'))).toEqual([]);
    expect(noisy.error['@_type']).toBe('noise');
    expect(slow.failure).toMatchObject({
      '@_type': 'regression (threshold)',
      '@_message': expect.stringContaining('alert(1)'),
    });
    expect(dead.error['@_message']).toBe('m');
  });

  it('is not marked on real hardware', () => {
    expect(junitXml({ ...mixed, engine: 'vllm', simulated: null })).not.toMatch(/simulated/i);
  });
});

describe('the report of a run', () => {
  it('says how it ended, what was judged, and what failed why', () => {
    const report = runReport({ run: mixed, latencies: [], problems: ['x.csv: cut off'] });
    expect(report.lead).toBe('PASSED: 2 steps passed');
    expect(report.simulated).toContain('SIMULATED');
    expect(report.facts).toContainEqual({ label: 'Cannot be read', value: 'x.csv: cut off' });
    expect(report.sections.map(({ title }) => title)).toEqual([
      'Verdicts',
      'noisy is inconclusive: noise',
      'slow failed: regression (threshold)',
      'dead failed: infrastructure (engine-died)',
      'Where the time went',
      'Logs and results',
    ]);
    const verdicts = runReport({ run: sampleRun(), latencies: [], problems: [] }).sections[0]?.tables[0]?.rows;
    expect(verdicts?.at(-1)?.map(cellText)).toEqual([
      '',
      'TTFT with LMCache',
      '0.1483 s',
      '<= 0.22 s',
      '+32.6 %',
      'passed',
    ]);
  });

  it('shows how many requests were answered within which time, on both servers', () => {
    const latencies = [{ title: 'TTFT', label: 'TTFT (s)', lmcache: [0.3, 0.1, 0.2, 0.4], baseline: [2, 1] }];
    const section = runReport({ run: sampleRun(), latencies, problems: [] }).sections.find(
      ({ charts }) => charts.length > 0,
    );
    expect(section?.charts[0]?.series[0]?.points).toEqual([
      { x: 0.1, y: 25 },
      { x: 0.2, y: 50 },
      { x: 0.3, y: 75 },
      { x: 0.4, y: 100 },
    ]);
    expect(section?.tables[0]?.rows[1]?.map(cellText).slice(0, 5)).toEqual([
      'TTFT',
      'vLLM without (baseline)',
      '2',
      '1.5',
      '1.5',
    ]);
  });
});

describe('the files of a run', () => {
  let root = '';
  beforeEach(async () => {
    root = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-run-report-'));
    await mkdir(path.join(root, 'long_doc_qa'));
  });
  afterEach(() => rm(root, { recursive: true }));

  it('give TTFTs of successful requests; what cannot be read is told', async () => {
    const head = 'prompt_id,request_start,ttft,request_end,successful,is_miss,ttft_time\n';
    const rows = '0,0.0,0.25,1.0,True,False,0.25\n1,0.1,-1,1.0,False,False,-1\n2,0.2,0.5,1.0,True,False,0.7\n';
    await writeFile(path.join(root, 'long_doc_qa/lmcache_query_round.csv'), head + rows);
    await writeFile(path.join(root, 'long_doc_qa/baseline_query_round.csv'), `${head}0,x,0.25,1.0,True,False,0.25\n`);
    const { compared, problems } = await readLatencies(root);
    expect(compared).toHaveLength(1);
    expect(compared[0]).toMatchObject({ lmcache: [0.25, 0.5], baseline: [] });
    expect(problems).toEqual([expect.stringContaining('long_doc_qa/baseline_query_round.csv')]);
  });

  it('are written in every format, and not without a run', async () => {
    expect(await writeRunReport(root, ['html'])).toBeNull();
    await writeFile(path.join(root, 'run.json'), JSON.stringify(sampleRun()));
    const files = await writeRunReport(root, runReportFormats);
    expect(files?.map((file) => path.basename(file))).toEqual([
      'report.pdf',
      'report.html',
      'report.md',
      'report.junit.xml',
    ]);
    expect((await readdir(root)).filter((name) => name.includes('.tmp'))).toEqual([]);
  });
});

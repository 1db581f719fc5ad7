import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { HealthPoller } from '../../bench/health-poller.js';
import { suiteEvents } from '../../bench/original-suite.js';
import { type Figures, printReport } from '../../bench/overhead-report.js';
import { type OwnRun, ownByStep } from '../../bench/own-run.js';
import { formatSpread } from '../../bench/spread.js';
import { makeStandIns } from '../../bench/stand-ins.js';
import type { RunEvent, RunEventInput } from '../../results-schema/events.js';
import { timingsOf } from '../../results-schema/own-time.js';

const at = (t: number, input: RunEventInput): RunEvent => ({ ...input, t, at: '2026-01-01T00:00:00.000Z', pid: 1 });

describe('ownByStep', () => {
  it('shares own time out among the steps, and loses none', () => {
    const events = [
      at(0, { type: 'run-started', buildId: 'b', command: [], engine: 'sim', runtime: 'docker' }),
      at(0.25, { type: 'step-started', step: 'launch', title: 'Launch' }),
      at(0.5, { type: 'engine-starting', role: 'vllm', name: 'v' }),
      at(2, {
        type: 'step-finished',
        step: 'launch',
        durationSeconds: 1.75,
        result: { outcome: 'passed', verdicts: [] },
      }),
      at(3, { type: 'engine-ready', role: 'vllm', name: 'v', readyAfterSeconds: 1 }),
      at(3.5, { type: 'step-started', step: 'bench', title: 'Bench' }),
      at(4.5, { type: 'workload-started', id: 'w', workload: 'w', target: 'vllm' }),
      at(6, { type: 'workload-finished', id: 'w', ok: true }),
    ];
    expect(Object.fromEntries(ownByStep(events))).toEqual({ 'between steps': 0.75, launch: 0.25, bench: 1 });
    expect(timingsOf(events).ownSeconds).toBe(2);
  });
});

describe("the original suite's lines as events", () => {
  it('tell where its time went', () => {
    const lines = [
      [1, '=== Launching LMCache container ==='],
      [2, '=== Launching vLLM container ==='],
      [3, '=== Launching vLLM baseline container (without LMCache) ==='],
      [10, '=== Running lm_eval (first_run) ==='],
      [14, '✅ first_run completed'],
      [15, '=== Running vllm bench serve (Baseline vLLM) ==='],
      [17, '✅ Baseline vLLM benchmark completed'],
      [18, '--- Container logs for vllm-mp-test-1 ---'],
      [19.5, 'Container vllm-mp-test-1 cleaned up'],
    ] as const;
    const run = {
      startedAt: 1_000_000,
      endedAt: 1_020_000,
      exitCode: 0,
      lines: lines.map(([seconds, text]) => ({ at: 1_000_000 + seconds * 1000, text })),
    };
    const served = new Map([
      ['lmcache', 1_001_500],
      ['vllm', 1_004_000],
      ['baseline', 1_005_000],
    ]);
    expect(timingsOf(suiteEvents(run, served))).toMatchObject({
      wallSeconds: 20,
      engineStartSeconds: 3.5,
      workloadSeconds: 6,
      stopGraceSeconds: 1.5,
      ownSeconds: 9,
    });
  });
});

describe('the stand-ins', () => {
  it("leave the containers' devices out, say that nothing is built, and ask lm_eval our own task", async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'lmcache-ci-stand-ins-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const { binDirectory, venvDirectory, list } = await makeStandIns({
      directory,
      realVenv: '/nowhere',
      taskDirectory: '/tasks',
      docker: '/bin/echo',
    });
    const say = (name: string, args: readonly string[]) =>
      execFileSync(path.join(binDirectory, name), args, { encoding: 'utf8' }).trim();
    expect(say('docker', ['run', '-d', '--gpus', 'all', '--env', "A=it's", 'image'])).toBe("run -d --env A=it's image");
    expect(say('docker', ['build', '.'])).toMatch(/^not built here/);
    expect(say('nvidia-smi', ['--query-gpu=memory.total', '--format=csv,noheader,nounits'])).toBe('143771\n143771');
    const activated = execFileSync('bash', ['-c', `. ${venvDirectory}/bin/activate && command -v lm_eval vllm uv`]);
    expect(activated.toString().trim().split('\n')).toEqual(
      ['lm_eval', 'vllm', 'uv'].map((name) => path.join(binDirectory, name)),
    );
    expect(list.length).toBeGreaterThan(4);
  });
});

describe('HealthPoller', () => {
  it('tells when a server first answered 200', async () => {
    let healthy = false;
    const server = createServer((_, response) => response.writeHead(healthy ? 200 : 503).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const poller = new HealthPoller({
      vllm: `http://127.0.0.1:${port}/health`,
      dead: 'http://127.0.0.1:1/',
      bare: port,
    });
    await expect.poll(() => poller.firstServed.has('bare')).toBe(true);
    expect(poller.firstServed.has('vllm')).toBe(false);
    healthy = true;
    const since = Date.now();
    await expect.poll(() => poller.firstServed.get('vllm')).toBeGreaterThanOrEqual(since);
    await poller.stop();
    expect(poller.firstServed.has('dead')).toBe(false);
  });
});

describe('the report', () => {
  const timings = {
    wallSeconds: 30,
    ownSeconds: 0.6,
    buildSeconds: 0,
    engineStartSeconds: 3,
    workloadSeconds: 20,
    childSeconds: 5,
    stopGraceSeconds: 0.4,
  };
  const ownRun = (ownSeconds: number): OwnRun => ({
    exitCode: 0,
    wallSeconds: 31,
    outsideSeconds: 0.5,
    timings: { ...timings, ownSeconds },
    readyNoticedMs: [20, 80],
    ownByStep: new Map([['bench', ownSeconds]]),
    failure: null,
  });
  const figuresOf = (changed: Partial<Figures>): Figures => ({
    help: { bareMs: [40], helpMs: [90], differenceMs: [50], heavyLoaded: [] },
    docker: [ownRun(0.6)],
    process: [ownRun(0.4)],
    suite: [],
    standIns: [],
    missing: [],
    quick: false,
    ...changed,
  });
  const print = (figures: Figures) => {
    const lines: string[] = [];
    return { exitCode: printReport(figures, (line) => lines.push(line)), text: lines.join('\n') };
  };

  it('holds when every median is within its bound', () => {
    const { exitCode, text } = print(figuresOf({ docker: [ownRun(0.5), ownRun(4), ownRun(0.7)] }));
    expect(exitCode).toBe(0);
    expect(text).toContain('| own time, Docker path | 0.70 s (0.50 to 4.00, n=3) | <= 1 s |');
  });

  it.each([
    ['own time', { docker: [ownRun(1.2)] }, 'Missed: own time, Docker path: 1.20 s, bound 1 s'],
    [
      '--help',
      { help: { bareMs: [40], helpMs: [190], differenceMs: [150], heavyLoaded: [] } },
      'Missed: difference of each pair: 150.00 ms, bound 100 ms',
    ],
    [
      'what --help loads',
      { help: { bareMs: [40], helpMs: [90], differenceMs: [50], heavyLoaded: ['zod'] } },
      'Missed: lmcache-ci --help loads zod',
    ],
  ])('says which bound is missed: %s', (_, changed, message) => {
    const { exitCode, text } = print(figuresOf(changed));
    expect(exitCode).toBe(1);
    expect(text).toContain(message);
  });

  it('does not pass when something was not measured', () => {
    const { exitCode, text } = print(figuresOf({ docker: [], missing: ['Docker path: no dockerd'] }));
    expect(exitCode).toBe(3);
    expect(text).toContain('Not measured: Docker path: no dockerd');
    expect(text).toContain('| own time, Docker path | not measured |');
  });

  it('puts the original suite beside ours', () => {
    const theirs = { ...ownRun(12), wallSeconds: 62, failure: '❌ Throughput comparison', exitCode: 1 };
    const { text } = print(figuresOf({ suite: [theirs], standIns: ['nvidia-smi: prints two cards'] }));
    expect(text).toContain('| - own time | 0.60 s (0.60 to 0.60, n=1) | 12.00 s (12.00 to 12.00, n=1) | 20.0 |');
    expect(text).toContain('the original suite, round 1, ended with exit code 1: ❌ Throughput comparison');
    expect(text).toContain('- nvidia-smi: prints two cards');
  });
});

describe('formatSpread', () => {
  it('says so when there is nothing', () => {
    expect(formatSpread([], 's')).toBe('not measured');
    expect(formatSpread([12.4, 40, 20], 'ms')).toBe('20 ms (12 to 40, n=3)');
  });
});

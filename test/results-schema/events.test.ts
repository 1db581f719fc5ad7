import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EventLog } from '../../results-schema/event-log.js';
import type { RunEvent, RunEventInput } from '../../results-schema/events.js';
import { timingsOf } from '../../results-schema/own-time.js';
import { readRun } from '../../results-schema/read-run.js';
import { sampleRun } from './sample-run.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lmcache-ci-events-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const started: RunEventInput = { type: 'run-started', buildId: 'b', command: [], engine: 'sim', runtime: 'process' };
const finished: RunEventInput = { type: 'run-finished', verdict: { outcome: 'passed', exitCode: 0, message: 'ok' } };

function at(t: number, input: RunEventInput, pid = 1): RunEvent {
  return { ...input, t, at: '2025-11-22T10:15:00.000Z', pid };
}
const child = (id: string, t: number): RunEvent =>
  at(t, { type: 'child-started', id, command: ['python3'], childPid: null });
const childEnd = (id: string, t: number): RunEvent => at(t, { type: 'child-finished', id, exitCode: 0, signal: null });

describe('EventLog', () => {
  it('appends a readable line at once, with growing t and this pid', async () => {
    const log = new EventLog(join(root, 'events.jsonl'));
    log.append(started);
    expect(readFileSync(join(root, 'events.jsonl'), 'utf8')).toMatch(/^\{.*"run-started".*\}\n$/);
    log.append({ type: 'log', step: null, message: 'line\nbreak' });
    log.append(finished);
    log.close();
    log.close();
    const { events, problems } = await readRun(root);
    expect(problems).toEqual([]);
    expect(events.map(({ type }) => type)).toEqual(['run-started', 'log', 'run-finished']);
    expect(new Set(events.map(({ pid }) => pid))).toEqual(new Set([process.pid]));
    const times = events.map(({ t }) => t);
    expect([...times].sort((a, b) => a - b)).toEqual(times);
  });

  it('appends to the log of the run it joins', async () => {
    for (const event of [started, finished]) {
      const log = new EventLog(join(root, 'events.jsonl'));
      log.append(event);
      log.close();
    }
    expect((await readRun(root)).events).toHaveLength(2);
  });

  it("keeps the first write error instead of throwing into somebody's failure", () => {
    const log = new EventLog('/dev/full');
    expect(log.failure).toBeNull();
    expect(log.append(started).type).toBe('run-started');
    expect(log.failure?.message).toMatch(/ENOSPC/);
    log.append(finished);
    log.close();
  });
});

describe('readRun', () => {
  it('reads a directory that holds nothing', async () => {
    expect(await readRun(root)).toEqual({ root, record: null, events: [], orchestratorLost: null, problems: [] });
  });

  it('reads run.json, leaves out a half-written last event, and names what is wrong', async () => {
    writeFileSync(join(root, 'run.json'), JSON.stringify(sampleRun()));
    writeFileSync(join(root, 'events.jsonl'), `${JSON.stringify(at(0, started))}\n{"type":"nonsense"}\n{"type":"lo`);
    writeFileSync(join(root, 'orchestrator-lost.json'), '{}');
    const run = await readRun(root);
    expect(run.record).toEqual(sampleRun());
    expect(run.events).toHaveLength(1);
    expect(run.orchestratorLost).toBeNull();
    expect(run.problems).toEqual([
      expect.stringMatching(/^orchestrator-lost\.json: /),
      expect.stringMatching(/^events\.jsonl line 2: /),
    ]);
  });
});

describe('own time', () => {
  it('is wall less everything that is not ours, overlaps counted once', () => {
    const timings = timingsOf([
      at(0, started),
      at(1, { type: 'build-started', image: 'i' }),
      at(4, { type: 'build-finished', image: 'i', ok: true }),
      at(5, { type: 'engine-starting', role: 'lmcache', name: 'l' }),
      at(5, { type: 'engine-starting', role: 'vllm', name: 'v' }),
      child('venv', 6),
      at(7, { type: 'engine-ready', role: 'lmcache', name: 'l', readyAfterSeconds: 2 }),
      childEnd('venv', 8),
      at(9, { type: 'engine-ready', role: 'vllm', name: 'v', readyAfterSeconds: 4 }),
      at(10, { type: 'workload-started', id: 'w', workload: 'bench', target: 'vllm' }),
      at(14, { type: 'workload-finished', id: 'w', ok: true }),
      at(15, { type: 'engine-stopping', role: 'vllm', name: 'v' }),
      at(16.5, { type: 'engine-exited', role: 'vllm', name: 'v', expected: true, exit: null }),
      at(17, finished),
    ]);
    expect(timings).toEqual({
      wallSeconds: 17,
      buildSeconds: 3,
      engineStartSeconds: 4,
      childSeconds: 2,
      workloadSeconds: 4,
      stopGraceSeconds: 1.5,
      ownSeconds: 4.5,
    });
  });

  it('ends the start of an engine that died, and lets an open interval last until the end', () => {
    const timings = timingsOf([
      at(0, started),
      at(1, { type: 'engine-starting', role: 'vllm', name: 'v' }),
      at(3, { type: 'engine-exited', role: 'vllm', name: 'v', expected: false, exit: null }),
      child('lm_eval', 5),
      at(6, { type: 'log', step: null, message: 'killed here' }),
    ]);
    expect(timings).toMatchObject({ wallSeconds: 6, engineStartSeconds: 2, childSeconds: 1, ownSeconds: 3 });
  });

  it('counts a child that stays until it only waits for work', () => {
    const timings = timingsOf([
      at(0, started),
      child('lm_eval', 1),
      at(4, { type: 'child-idle', id: 'lm_eval' }),
      at(6, { type: 'workload-started', id: 'w', workload: 'first_run', target: 'vllm' }),
      at(8, { type: 'workload-finished', id: 'w', ok: true }),
      childEnd('lm_eval', 9),
      at(10, finished),
    ]);
    expect(timings).toMatchObject({ wallSeconds: 10, childSeconds: 3, workloadSeconds: 2, ownSeconds: 5 });
  });

  it('measures the last process of a shared log only', () => {
    const timings = timingsOf([
      at(0, started, 1),
      at(100, finished, 1),
      at(0, started, 2),
      at(50, { type: 'log', step: null, message: 'of the first, late' }, 1),
      at(2, finished, 2),
    ]);
    expect(timings).toMatchObject({ wallSeconds: 2, ownSeconds: 2 });
  });

  it('is all zero without events', () => {
    expect(Object.values(timingsOf([]))).toEqual([0, 0, 0, 0, 0, 0, 0]);
  });

  it('agrees with counting milliseconds one by one', () => {
    const interval = fc.tuple(fc.nat({ max: 100 }), fc.nat({ max: 100 }));
    fc.assert(
      fc.property(fc.array(interval, { maxLength: 8 }), (intervals) => {
        // A child that starts and ends in the same instant could be sorted ending first: it would stay open.
        fc.pre(intervals.every(([a, b]) => a !== b));
        const events: RunEvent[] = [];
        const covered = new Set<number>();
        for (const [index, [a, b]] of intervals.entries()) {
          const [from, to] = [Math.min(a, b), Math.max(a, b)];
          events.push(child(String(index), from), childEnd(String(index), to));
          for (let t = from; t < to; t++) covered.add(t);
        }
        events.sort((left, right) => left.t - right.t);
        const timings = timingsOf([at(0, started), ...events, at(100, finished)]);
        expect(timings.childSeconds).toBe(covered.size);
        expect(timings.ownSeconds).toBe(100 - covered.size);
      }),
    );
  });
});

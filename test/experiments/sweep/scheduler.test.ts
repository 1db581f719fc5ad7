import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { estimateMakespan, type GpuJob, scheduleJobs } from '../../../experiments/sweep/scheduler.js';

interface Timed extends GpuJob {
  readonly seconds: number;
}

/** Runs jobs whose ends come in the order of a virtual clock. */
async function simulate(jobs: readonly Timed[], gpuCount: number) {
  let now = 0;
  const ends: { readonly at: number; readonly end: () => void }[] = [];
  const holders = new Map<number, Timed>();
  let busySeconds = 0;
  const runs: { readonly job: Timed; readonly from: number }[] = [];
  const over = scheduleJobs(jobs, {
    gpuCount,
    signal: new AbortController().signal,
    run: (job, gpus) => {
      expect(gpus).toHaveLength(job.gpus);
      for (const gpu of gpus) {
        expect(gpu).toBeLessThan(gpuCount);
        expect(holders.has(gpu)).toBe(false);
        holders.set(gpu, job);
      }
      runs.push({ job, from: now });
      busySeconds += job.gpus * job.seconds;
      return new Promise((resolve) => {
        const end = () => {
          for (const gpu of gpus) holders.delete(gpu);
          resolve();
        };
        ends.push({ at: now + job.seconds, end });
      });
    },
  });
  let isOver = false;
  void over.then(() => {
    isOver = true;
  });
  while (!isOver) {
    // Whatever can start now has started after a turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    const next = ends.sort((a, b) => a.at - b.at).shift();
    if (next === undefined) continue;
    now = next.at;
    next.end();
  }
  await over;
  return { makespan: now, busySeconds, runs };
}

const job = (seconds: number, gpus = 1, estimatedSeconds = seconds): Timed => ({ seconds, gpus, estimatedSeconds });

describe('the scheduler', () => {
  it('keeps four GPUs busy to at least 90 % of the ideal packing, with jobs of any length', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 10, max: 40 }), { minLength: 16, maxLength: 60 }),
        async (lengths) => {
          const { makespan, busySeconds } = await simulate(
            lengths.map((seconds) => job(seconds)),
            4,
          );
          const ideal = Math.max(busySeconds / 4, ...lengths);
          expect(ideal / makespan).toBeGreaterThanOrEqual(0.9);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('takes a GPU again as soon as it is free, whatever the others do', async () => {
    const { runs } = await simulate([job(100, 1, 30), job(10, 1, 20), job(10, 1, 20), job(10, 1, 20)], 2);
    expect(runs.map(({ from }) => from)).toEqual([0, 0, 10, 20]);
  });

  it('gives wide jobs all their GPUs at once, and fills what they leave', async () => {
    const { runs, makespan } = await simulate([job(10), job(10), job(20, 3), job(10), job(10, 4)], 4);
    expect(runs.map(({ job: { gpus }, from }) => [gpus, from])).toEqual([
      [4, 0],
      [3, 10],
      [1, 10],
      [1, 20],
      [1, 30],
    ]);
    expect(makespan).toBe(40);
  });

  it('runs everything once, and tells the time ahead, where estimates are right', async () => {
    const jobs = fc.array(
      fc.record({ seconds: fc.integer({ min: 1, max: 50 }), gpus: fc.integer({ min: 1, max: 4 }) }),
      { minLength: 1, maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(jobs, async (list) => {
        const timed = list.map(({ seconds, gpus }) => job(seconds, gpus));
        const { runs, makespan, busySeconds } = await simulate(timed, 4);
        expect(new Set(runs.map((run) => run.job))).toEqual(new Set(timed));
        expect(makespan).toBeGreaterThanOrEqual(busySeconds / 4);
        if (list.every(({ gpus }) => gpus === 1)) expect(estimateMakespan(timed, [0, 0, 0, 0])).toBe(makespan);
      }),
      { numRuns: 60 },
    );
  });

  it('starts nothing after an abort, and waits for what runs', async () => {
    const abort = new AbortController();
    const ended: number[] = [];
    await scheduleJobs([job(1), job(2), job(3)], {
      gpuCount: 1,
      signal: abort.signal,
      run: async ({ seconds }) => {
        abort.abort();
        await new Promise((resolve) => setImmediate(resolve));
        ended.push(seconds);
      },
    });
    expect(ended).toEqual([3]);
  });

  it('refuses a job that is wider than the machine', async () => {
    const started: unknown[] = [];
    const run = async (started_: unknown) => void started.push(started_);
    const options = { gpuCount: 2, signal: new AbortController().signal, run };
    await expect(scheduleJobs([job(1), job(1, 4)], options)).rejects.toThrow('A job needs 4 GPUs, and there are 2.');
    expect(started).toEqual([]);
  });
});

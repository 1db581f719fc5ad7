/** What the scheduler must know of a job. */
export interface GpuJob {
  /** How many GPUs it takes at once. */
  readonly gpus: number;
  /** For the order only. */
  readonly estimatedSeconds: number;
}

export interface ScheduleOptions<Job extends GpuJob> {
  readonly gpuCount: number;
  /** Nothing is started once it is aborted. */
  readonly signal: AbortSignal;
  /** Runs a job on these GPUs (numbers from 0, ascending), which are its own until it resolves. Must not reject. */
  run(job: Job, gpus: readonly number[]): Promise<void>;
}

/**
 * Runs jobs on GPUs, each as soon as enough of them are free: the widest first, of these the longest, so that what
 * is short fills the gaps at the end. Resolves when all that was started has ended.
 * @throws RangeError for a job that is wider than the machine; nothing is started then.
 */
export async function scheduleJobs<Job extends GpuJob>(
  jobs: readonly Job[],
  options: ScheduleOptions<Job>,
): Promise<void> {
  const tooWide = jobs.find(({ gpus }) => gpus > options.gpuCount);
  if (tooWide) throw new RangeError(`A job needs ${tooWide.gpus} GPUs, and there are ${options.gpuCount}.`);
  const waiting = inOrder(jobs);
  const free = new Set(Array.from({ length: options.gpuCount }, (_, gpu) => gpu));
  const running = new Set<Promise<void>>();

  const startWhatFits = (): void => {
    for (let at = 0; at < waiting.length && !options.signal.aborted; ) {
      const job = waiting[at];
      if (job === undefined || job.gpus > free.size) {
        at += 1;
        continue;
      }
      waiting.splice(at, 1);
      const gpus = [...free].sort((a, b) => a - b).slice(0, job.gpus);
      for (const gpu of gpus) free.delete(gpu);
      const run: Promise<void> = options.run(job, gpus).finally(() => {
        for (const gpu of gpus) free.add(gpu);
        running.delete(run);
      });
      running.add(run);
    }
  };
  startWhatFits();
  while (running.size > 0) {
    await Promise.race(running);
    startWhatFits();
  }
}

/**
 * Seconds until all jobs are done, as they are scheduled.
 * @param busyForSeconds for each GPU, how long what runs there still takes
 */
export function estimateMakespan(jobs: readonly GpuJob[], busyForSeconds: readonly number[]): number {
  const freeAt = [...busyForSeconds];
  for (const { gpus, estimatedSeconds } of inOrder(jobs)) {
    freeAt.sort((a, b) => a - b);
    const end = (freeAt[gpus - 1] ?? 0) + estimatedSeconds;
    freeAt.fill(end, 0, gpus);
  }
  return Math.max(0, ...freeAt);
}

function inOrder<Job extends GpuJob>(jobs: readonly Job[]): Job[] {
  return [...jobs].sort((a, b) => b.gpus - a.gpus || b.estimatedSeconds - a.estimatedSeconds);
}

/** A short request costs its thread some 120 us of CPU: so many keep it busy for three quarters of its time. */
const REQUESTS_PER_SECOND = 6000;
/** A token costs 10 us and more: so many streams of one each 10 ms keep a thread busy for half of its time. */
const STREAMS = 512;

export interface WorkerDemand {
  /** When each request is due, wall-clock seconds after the start; ascending. */
  readonly dueSeconds: readonly number[];
  readonly maxConcurrency: number | null;
}

/**
 * How many threads send: one, until the busiest second of the schedule has more requests than one thread is good for,
 * or, where nothing has a time of its own, more are in flight at once. Never more than the cores less one (the main
 * thread's, and the machine's), places or requests there are.
 */
export function chooseWorkers(asked: number | 'auto', demand: WorkerDemand, cores: number): number {
  const { dueSeconds, maxConcurrency } = demand;
  const places = Math.min(maxConcurrency ?? Number.POSITIVE_INFINITY, dueSeconds.length);
  const isOpenLoop = (dueSeconds.at(-1) ?? 0) > 0;
  const wanted = isOpenLoop ? busiestSecond(dueSeconds) / REQUESTS_PER_SECOND : places / STREAMS;
  const workers = asked === 'auto' ? Math.min(Math.ceil(wanted), cores - 1) : asked;
  return Math.max(1, Math.min(workers, places));
}

/** Requests due within any one second, at most. @param dueSeconds ascending */
export function busiestSecond(dueSeconds: readonly number[]): number {
  let most = 0;
  let first = 0;
  for (const [index, due] of dueSeconds.entries()) {
    while (due - (dueSeconds[first] ?? 0) >= 1) {
      first += 1;
    }
    most = Math.max(most, index - first + 1);
  }
  return most;
}

import type { RunEvent } from './events.js';
import type { Timings } from './run-record.js';

interface Interval {
  readonly from: number;
  to: number | null;
}
type Part = 'build' | 'engineStart' | 'workload' | 'child' | 'stopGrace';

/**
 * Where a run's time went, from its events:
 *
 *     own = wall - | build ∪ engine start ∪ workloads ∪ children ∪ stop grace |
 *
 * wall: from `run-started` to `run-finished` (or the last event of a run that did not end).
 * build: `build-started` to `build-finished`. Engine start: `engine-starting` to `engine-ready`, or to
 * `engine-exited` when it never got there. Workloads and children: their `-started` to their `-finished`
 * of the same id; a child that only waits for work counts until its `child-idle`. Stop grace: `engine-stopping` to `engine-exited`. Each part is the length of the union
 * of its intervals, so two engines that start together count once; own time is wall less the union of all,
 * so nothing that runs meanwhile is subtracted twice. An interval that never ended lasts until the end.
 *
 * Only the events of the process that wrote the last `run-started` count: single steps of one run share
 * a log, but no clock. All numbers are wall seconds, also on the simulator.
 */
export function timingsOf(events: readonly RunEvent[]): Timings {
  const session = lastSession(events);
  const first = session[0];
  const last = session.at(-1);
  if (first === undefined || last === undefined) {
    return {
      wallSeconds: 0,
      ownSeconds: 0,
      buildSeconds: 0,
      engineStartSeconds: 0,
      workloadSeconds: 0,
      childSeconds: 0,
      stopGraceSeconds: 0,
    };
  }
  const end = session.findLast((event) => event.type === 'run-finished')?.t ?? last.t;
  const parts = intervalsOf(session);
  const lengthOf = (...chosen: readonly Part[]): number =>
    unionLength(
      chosen.flatMap((part) => parts[part]),
      first.t,
      end,
    );
  const wallSeconds = end - first.t;
  return {
    wallSeconds,
    ownSeconds: Math.max(0, wallSeconds - lengthOf('build', 'engineStart', 'workload', 'child', 'stopGrace')),
    buildSeconds: lengthOf('build'),
    engineStartSeconds: lengthOf('engineStart'),
    workloadSeconds: lengthOf('workload'),
    childSeconds: lengthOf('child'),
    stopGraceSeconds: lengthOf('stopGrace'),
  };
}

function lastSession(events: readonly RunEvent[]): readonly RunEvent[] {
  const start = events.findLastIndex((event) => event.type === 'run-started');
  const pid = events[start]?.pid;
  return start === -1 ? [] : events.slice(start).filter((event) => event.pid === pid);
}

function intervalsOf(events: readonly RunEvent[]): Readonly<Record<Part, readonly Interval[]>> {
  const found: Record<Part, Interval[]> = { build: [], engineStart: [], workload: [], child: [], stopGrace: [] };
  const open = new Map<string, Interval>();
  const begin = (part: Part, key: string, t: number): void => {
    const interval: Interval = { from: t, to: null };
    found[part].push(interval);
    open.set(`${part} ${key}`, interval);
  };
  const finish = (part: Part, key: string, t: number): void => {
    const interval = open.get(`${part} ${key}`);
    if (interval === undefined) return;
    interval.to = t;
    open.delete(`${part} ${key}`);
  };
  for (const event of events) {
    switch (event.type) {
      case 'build-started':
        begin('build', event.image, event.t);
        break;
      case 'build-finished':
        finish('build', event.image, event.t);
        break;
      case 'engine-starting':
        begin('engineStart', event.name, event.t);
        break;
      case 'engine-ready':
        finish('engineStart', event.name, event.t);
        break;
      case 'engine-stopping':
        begin('stopGrace', event.name, event.t);
        break;
      case 'engine-exited':
        finish('engineStart', event.name, event.t);
        finish('stopGrace', event.name, event.t);
        break;
      case 'child-started':
        begin('child', event.id, event.t);
        break;
      case 'child-idle':
      case 'child-finished':
        finish('child', event.id, event.t);
        break;
      case 'workload-started':
        begin('workload', event.id, event.t);
        break;
      case 'workload-finished':
        finish('workload', event.id, event.t);
        break;
      default:
        break;
    }
  }
  return found;
}

/** Total length covered by the intervals between `start` and `end`; overlaps count once, an open interval lasts to the end. */
function unionLength(intervals: readonly Interval[], start: number, end: number): number {
  const clipped = intervals
    .map(({ from, to }) => ({ from: Math.max(from, start), to: Math.min(to ?? end, end) }))
    .filter(({ from, to }) => to > from)
    .sort((a, b) => a.from - b.from);
  let covered = 0;
  let reached = start;
  for (const { from, to } of clipped) {
    covered += Math.max(0, to - Math.max(from, reached));
    reached = Math.max(reached, to);
  }
  return covered;
}

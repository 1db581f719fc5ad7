import type { ProcessGroup } from './live-run.js';
import {
  describeProcess,
  listProcesses,
  type ProcessStat,
  readProcessEnvironment,
  readProcessStat,
} from './process-identity.js';
import { waitUntil } from './wait-until.js';

/** Set in the environment of every process of a run, so that those which left their group are still found. */
export const buildIdVariable = 'LMCACHE_CI_BUILD_ID';

/**
 * Members of a group that have not ended. Empty when the pid was reused: then a leader with another start
 * time stands there, and the group is not ours.
 */
export function groupMembers(group: ProcessGroup): ProcessStat[] {
  const leader = readProcessStat(group.pgid);
  if (leader && leader.startTime !== group.startTime) return [];
  return listProcesses().filter((member) => member.processGroup === group.pgid && member.startTime >= group.startTime);
}

/** Signals the whole group. @returns false when nothing of it is left. */
export function signalGroup(group: ProcessGroup, signal: NodeJS.Signals): boolean {
  if (groupMembers(group).length === 0) return false;
  try {
    process.kill(-group.pgid, signal);
    return true;
  } catch {
    return false;
  }
}

/** SIGTERM, then SIGKILL after `graceMs`. */
export interface EndOutcome {
  readonly forced: boolean;
  /** Nothing is left; false only for what even SIGKILL could not end (uninterruptible I/O). */
  readonly gone: boolean;
  /** What is left, each in words. */
  readonly holders: readonly string[];
}

const killLimitMs = 2000;

/**
 * Ends a process group: SIGTERM to all members, SIGKILL to what is left after `graceMs`. Never throws.
 * @param hurry ends the grace period early
 */
export async function endGroup(group: ProcessGroup, graceMs: number, hurry?: AbortSignal): Promise<EndOutcome> {
  return endAll(
    () => groupMembers(group),
    (signal) => signalGroup(group, signal),
    graceMs,
    hurry,
  );
}

/** Processes that carry all of these variables in their environment and started no earlier than the run. */
export function findMarked(mark: Readonly<Record<string, string>>, notBefore: number): ProcessStat[] {
  return listProcesses().filter((stat) => {
    if (stat.pid === process.pid || stat.startTime < notBefore) return false;
    const environment = readProcessEnvironment(stat.pid);
    return environment !== null && Object.entries(mark).every(([name, value]) => environment.get(name) === value);
  });
}

/** Ends single processes, each checked by its start time before every signal. Never throws. */
export async function endProcesses(processes: readonly ProcessStat[], graceMs: number): Promise<EndOutcome> {
  const alive = () =>
    processes.filter((target) => {
      const stat = readProcessStat(target.pid);
      return stat !== null && stat.startTime === target.startTime && stat.state !== 'Z' && stat.state !== 'X';
    });
  return endAll(
    alive,
    (signal) => {
      for (const target of alive()) {
        try {
          process.kill(target.pid, signal);
        } catch {
          // It ended between the look and the signal.
        }
      }
    },
    graceMs,
  );
}

async function endAll(
  alive: () => readonly ProcessStat[],
  send: (signal: NodeJS.Signals) => void,
  graceMs: number,
  hurry?: AbortSignal,
): Promise<EndOutcome> {
  const isGone = () => alive().length === 0;
  send('SIGTERM');
  await waitUntil(() => isGone() || hurry?.aborted === true, graceMs);
  if (isGone()) return { forced: false, gone: true, holders: [] };
  send('SIGKILL');
  const gone = await waitUntil(isGone, killLimitMs);
  return { forced: true, gone, holders: gone ? [] : alive().map(({ pid }) => describeProcess(pid)) };
}

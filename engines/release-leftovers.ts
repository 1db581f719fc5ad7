import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type ContainerCleaner, removeInTurn } from './container-cleaner.js';
import type { ReleaseReport } from './fleet.js';
import type { LiveRun, ProcessGroup } from './live-run.js';
import { type EndOutcome, endGroup, endProcesses, findMarked, groupMembers } from './process-groups.js';
import { type ProcessStat, readBootId, readCommandLine } from './process-identity.js';
import { runMark } from './run-labels.js';
import { isTemporaryDirectory } from './temporary-directory.js';

/** Collects what was ended while things are ended in parallel. */
export class ReleaseLog {
  readonly removed: string[] = [];
  readonly forced: string[] = [];
  readonly problems: string[] = [];

  add(report: ReleaseReport): void {
    this.removed.push(...report.removed);
    this.forced.push(...report.forced);
    this.problems.push(...report.problems);
  }

  /** @param name e.g. `process group 4711 (python -m lm_eval)` */
  ended(name: string, end: Pick<EndOutcome, 'forced' | 'gone'> & Partial<EndOutcome>): void {
    if (end.forced) this.forced.push(name);
    if (end.gone) this.removed.push(name);
    else this.problems.push(survived(name, end.holders ?? []));
  }

  report(): ReleaseReport {
    return { removed: [...this.removed], forced: [...this.forced], problems: [...this.problems] };
  }
}

/** Who would not end, and what of it is left. */
export function survived(name: string, holders: readonly string[]): string {
  return `${name} survived SIGKILL${holders.length === 0 ? '' : `: ${holders.join('; ')}`}`;
}

/** Ends process groups side by side; those that are gone already are not mentioned. */
export async function releaseGroups(
  groups: readonly ProcessGroup[],
  graceMs: number,
  log: ReleaseLog,
  hurry?: AbortSignal,
): Promise<void> {
  await Promise.all(
    groups.map(async (group) => {
      const [member] = groupMembers(group);
      if (!member) return;
      const command = readCommandLine(member.pid);
      log.ended(
        `process group ${group.pgid}${command ? ` (${shorten(command)})` : ''}`,
        await endGroup(group, graceMs, hurry),
      );
    }),
  );
}

/** Those that whoever made them has not removed; after the processes that write into them. */
export function releaseDirectories(directories: readonly string[], log: ReleaseLog): void {
  for (const directory of directories.filter(isTemporaryDirectory)) {
    const name = `temporary directory ${directory}`;
    try {
      rmSync(directory, { recursive: true });
      log.removed.push(name);
    } catch (error) {
      log.problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** Processes with the run's mark that are neither its orchestrator nor its keeper, and younger than the run. */
export function strayProcesses(
  run: Pick<LiveRun, 'buildId' | 'bootId' | 'orchestrator' | 'keeper'>,
  registryName: string,
): readonly ProcessStat[] {
  if (run.bootId !== readBootId()) return [];
  const ours = new Set([process.pid, run.orchestrator.pid, run.keeper?.pid]);
  const mark = runMark(run.buildId, registryName);
  return findMarked(mark, run.orchestrator.startTime).filter((stray) => !ours.has(stray.pid));
}

const daemonPauseMs = 250;

export interface StrayOptions {
  readonly graceMs: number;
  readonly log: ReleaseLog;
  readonly openCleaner: () => Promise<ContainerCleaner>;
  readonly registryName: string;
  /** How long a daemon that does not answer is waited for. */
  readonly daemonLimitMs: number;
}

/**
 * Removes what is still labelled with the run, then ends what carries its mark wherever it went.
 * @returns `containersGone`: the daemon knows no container of the run any more
 */
export async function releaseStrays(
  run: LiveRun,
  options: StrayOptions,
): Promise<{ readonly containersGone: boolean }> {
  // An engine stands in the record before it is started: without one there is nothing to ask a daemon for.
  const mayHaveContainers = run.runtime === 'docker' && Object.keys(run.engines).length > 0;
  const containersGone = mayHaveContainers && (await removeContainers(run, options));
  await endStrays(strayProcesses(run, options.registryName), options.graceMs, options.log);
  return { containersGone };
}

/** Ends single processes side by side. */
export async function endStrays(strays: readonly ProcessStat[], graceMs: number, log: ReleaseLog): Promise<void> {
  await Promise.all(
    strays.map(async (stray) => {
      const command = readCommandLine(stray.pid) ?? 'unknown command';
      log.ended(`process ${stray.pid} (${shorten(command)})`, await endProcesses([stray], graceMs));
    }),
  );
}

/** @returns whether the daemon knows none of them any more */
async function removeContainers(run: LiveRun, options: StrayOptions): Promise<boolean> {
  const { log, graceMs } = options;
  try {
    const cleaner = await options.openCleaner();
    // While nobody answers, containers' processes hold memory and GPUs all the same: they carry the mark.
    const away = () => endStrays(strayProcesses(run, options.registryName), graceMs, log);
    const left = await whenAnswered(() => cleaner.list(run.buildId), away, options.daemonLimitMs);
    const removal = await removeInTurn(cleaner, left, graceMs);
    log.add(removal);
    return removal.problems.length === 0;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.problems.push(
      `containers of run ${run.buildId} could not be looked for: ${why.replace(/\.$/, '')}; \`lmcache-ci clean\` removes them when the daemon answers again`,
    );
    return false;
  }
}

/**
 * Asks again until the daemon answers.
 * @param away what to do once when it does not
 * @throws its last error when the time is over.
 */
async function whenAnswered<Answer>(
  ask: () => Promise<Answer>,
  away: () => Promise<void>,
  limitMs: number,
): Promise<Answer> {
  const deadline = performance.now() + limitMs;
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (tries === 1) await away();
      if (performance.now() >= deadline) throw error;
      await delay(daemonPauseMs);
    }
  }
}

function shorten(command: string): string {
  return command.length > 80 ? `${command.slice(0, 77)}...` : command;
}

import type { ContainerCleaner } from './container-cleaner.js';
import type { ReleaseReport } from './fleet.js';
import type { LiveRun, ProcessGroup } from './live-run.js';
import { endGroup, endProcesses, findMarked, groupMembers } from './process-groups.js';
import { type ProcessStat, readBootId, readCommandLine } from './process-identity.js';

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
  ended(name: string, end: { readonly forced: boolean; readonly gone: boolean }): void {
    if (end.forced) this.forced.push(name);
    if (end.gone) this.removed.push(name);
    else this.problems.push(`${name} survived SIGKILL`);
  }

  report(): ReleaseReport {
    return { removed: [...this.removed], forced: [...this.forced], problems: [...this.problems] };
  }
}

/** Ends process groups side by side; those that are gone already are not mentioned. */
export async function releaseGroups(groups: readonly ProcessGroup[], graceMs: number, log: ReleaseLog): Promise<void> {
  await Promise.all(
    groups.map(async (group) => {
      const [member] = groupMembers(group);
      if (!member) return;
      const command = readCommandLine(member.pid);
      log.ended(
        `process group ${group.pgid}${command ? ` (${shorten(command)})` : ''}`,
        await endGroup(group, graceMs),
      );
    }),
  );
}

/** Processes with the run's mark that are neither its orchestrator nor its keeper, and younger than the run. */
export function strayProcesses(
  run: Pick<LiveRun, 'buildId' | 'bootId' | 'orchestrator' | 'keeper'>,
): readonly ProcessStat[] {
  if (run.bootId !== readBootId()) return [];
  const ours = new Set([process.pid, run.orchestrator.pid, run.keeper?.pid]);
  return findMarked(run.buildId, run.orchestrator.startTime).filter((stray) => !ours.has(stray.pid));
}

/** Ends what left its process group but still carries the run's mark, then what is still labelled with it. */
export async function releaseStrays(
  run: LiveRun,
  options: {
    readonly graceMs: number;
    readonly log: ReleaseLog;
    readonly openCleaner: () => Promise<ContainerCleaner>;
  },
): Promise<void> {
  const { log, graceMs } = options;
  await Promise.all(
    strayProcesses(run).map(async (stray) => {
      const command = readCommandLine(stray.pid) ?? 'unknown command';
      log.ended(`process ${stray.pid} (${shorten(command)})`, await endProcesses([stray], graceMs));
    }),
  );
  if (run.runtime !== 'docker') return;
  try {
    const cleaner = await options.openCleaner();
    log.add(await cleaner.remove(await cleaner.list(run.buildId), graceMs));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.problems.push(`containers of run ${run.buildId} could not be looked for: ${why}`);
  }
}

function shorten(command: string): string {
  return command.length > 80 ? `${command.slice(0, 77)}...` : command;
}

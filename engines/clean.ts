import { type ContainerCleaner, openContainerCleaner } from './container-cleaner.js';
import type { ReleaseReport } from './fleet.js';
import type { LiveRun, ProcessGroup } from './live-run.js';
import { identifyProcess, readBootId } from './process-identity.js';
import { openRegistry, type Registry } from './registry.js';
import { ReleaseLog, releaseDirectories, releaseGroups, releaseStrays, strayProcesses } from './release-leftovers.js';
import { isTemporaryDirectory } from './temporary-directory.js';

const defaultGraceMs = 5000;

/**
 * Ends and removes what a run without a keeper has left: engines, process groups, marked processes, labelled
 * containers, and its record last. Never throws: problems are listed.
 */
export async function releaseDeadRun(
  run: LiveRun,
  options: {
    readonly registry: Registry;
    readonly graceMs?: number;
    /** A new run of the same id stands in the registry already. */
    readonly keepRecord?: boolean;
    readonly openCleaner?: () => Promise<ContainerCleaner>;
  },
): Promise<ReleaseReport> {
  const { registry, graceMs = defaultGraceMs } = options;
  const log = new ReleaseLog();
  try {
    // Before this boot there were other processes with the same pids.
    if (run.bootId === readBootId()) await releaseGroups(ledGroups(run), graceMs, log);
    await releaseStrays(run, {
      graceMs,
      log,
      openCleaner: options.openCleaner ?? (() => openContainerCleaner(registry.name)),
      registryName: registry.name,
      daemonLimitMs: 0,
    });
    releaseDirectories(run.directories ?? [], log);
    if (!options.keepRecord) registry.remove(run.buildId);
  } catch (error) {
    log.problems.push(`run ${run.buildId}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return log.report();
}

/**
 * Removes what dead runs have left on this machine, never anything of a live one: runs in the registry whose
 * orchestrator and keeper are gone, and containers of this registry whose run it no longer knows.
 * @param request.dryRun only says what would be removed
 * @param request.olderThanMs spares what is younger
 * @returns what was (or would be) removed; `problems` also names records that cannot be read. Never throws.
 */
export async function cleanLeftovers(request: {
  readonly dryRun: boolean;
  readonly olderThanMs: number;
  readonly registryDir?: string;
  readonly openCleaner?: (registryName: string) => Promise<ContainerCleaner>;
}): Promise<ReleaseReport> {
  const registry = openRegistry(request.registryDir);
  const openCleaner = () => (request.openCleaner ?? openContainerCleaner)(registry.name);
  const log = new ReleaseLog();
  const { live, dead, foreign, unreadable } = registry.list();
  for (const { path, problem } of unreadable) log.problems.push(`${path}: not a run's record, left alone: ${problem}`);
  const isOld = (createdAtMs: number) => Date.now() - createdAtMs >= request.olderThanMs;
  const due = dead.filter((run) => isOld(Date.parse(run.createdAt)));
  for (const run of due) {
    if (request.dryRun) log.removed.push(...describeLeftovers(run, registry.name));
    else {
      log.add(await releaseDeadRun(run, { registry, openCleaner }));
      log.removed.push(`record of run ${run.buildId}`);
    }
  }
  const spared = new Set([...live, ...foreign, ...dead.filter((run) => !due.includes(run))].map((run) => run.buildId));
  await cleanContainers(spared, isOld, { ...request, openCleaner, log });
  return log.report();
}

/** Engines and groups whose leader still lives; leaderless members are found by their mark instead. */
function ledGroups(run: LiveRun): readonly ProcessGroup[] {
  const engines = Object.values(run.engines).flatMap(({ state }): ProcessGroup[] => {
    const running = state.status === 'starting' || state.status === 'ready' ? state.handle : null;
    return running?.kind === 'process' ? [{ pgid: running.pid, startTime: running.startTime }] : [];
  });
  return [...engines, ...run.processGroups].filter(
    (group) => identifyProcess(group.pgid)?.startTime === group.startTime,
  );
}

function describeLeftovers(run: LiveRun, registryName: string): readonly string[] {
  const sameBoot = run.bootId === readBootId();
  return [
    ...(sameBoot ? ledGroups(run).map((group) => `process group ${group.pgid} of run ${run.buildId}`) : []),
    ...(sameBoot ? strayProcesses(run, registryName).map((stray) => `process ${stray.pid} of run ${run.buildId}`) : []),
    ...(run.directories ?? []).filter(isTemporaryDirectory).map((directory) => `temporary directory ${directory}`),
    `record of run ${run.buildId}`,
  ];
}

async function cleanContainers(
  spared: ReadonlySet<string>,
  isOld: (createdAtMs: number) => boolean,
  options: { readonly dryRun: boolean; readonly log: ReleaseLog; openCleaner(): Promise<ContainerCleaner> },
): Promise<void> {
  let cleaner: ContainerCleaner;
  let left: Awaited<ReturnType<ContainerCleaner['list']>>;
  try {
    cleaner = await options.openCleaner();
    left = (await cleaner.list(null)).filter(
      (container) => !spared.has(container.buildId) && isOld(container.createdAtMs),
    );
  } catch {
    // No daemon, no containers: nothing to say on a machine that only ever ran processes.
    return;
  }
  if (options.dryRun) options.log.removed.push(...left.map((container) => `container ${container.name}`));
  else options.log.add(await cleaner.remove(left, defaultGraceMs));
}

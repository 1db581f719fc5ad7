import {
  type ContainerCleaner,
  type LabelledContainer,
  openContainerCleaner,
  removeInTurn,
} from './container-cleaner.js';
import { endInTurn, isCacheServer, partition } from './end-in-turn.js';
import type { ReleaseReport } from './fleet.js';
import type { LiveEngine, LiveRun, ProcessGroup } from './live-run.js';
import { buildIdVariable, findMarked } from './process-groups.js';
import { identifyProcess, identifySelf, processAgeMs, readBootId, readProcessEnvironment } from './process-identity.js';
import { judgeLiveness, openRegistry, type Registry } from './registry.js';
import {
  endStrays,
  ReleaseLog,
  releaseDirectories,
  releaseGroups,
  releaseStrays,
  strayProcesses,
} from './release-leftovers.js';
import { registryMark } from './run-labels.js';
import { isTemporaryDirectory } from './temporary-directory.js';

const defaultGraceMs = 5000;

/**
 * Ends and removes what a run without a keeper has left: engines, process groups, marked processes, labelled
 * containers, and its record last, which stays where something else does. Never throws: problems are listed.
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
    if (run.bootId === readBootId()) await releaseLedGroups(run, graceMs, log);
    await releaseStrays(run, {
      graceMs,
      log,
      openCleaner: options.openCleaner ?? (() => openContainerCleaner(registry.name)),
      registryName: registry.name,
      daemonLimitMs: 0,
    });
    releaseDirectories(run.directories ?? [], log);
    // While something of it is left, its record tells what.
    if (!options.keepRecord && log.problems.length === 0) registry.remove(run.buildId);
  } catch (error) {
    log.problems.push(`run ${run.buildId}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return log.report();
}

/**
 * Removes what dead runs have left on this machine, never anything of a live one: runs in the registry whose
 * orchestrator and keeper are gone, and containers and processes of this registry whose run it no longer knows.
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
  // A clock that was set back must not spare everything.
  const isOld = (ageMs: number) => request.olderThanMs === 0 || ageMs >= request.olderThanMs;
  // Before the registry is read: runs are registered before they start anything, so what it does not know then is nobody's.
  const found = await listContainers(openCleaner);
  const marked = findMarked(registryMark(registry.name), 0);
  const { live, dead, foreign, unreadable } = registry.list();
  for (const { path, problem } of unreadable)
    log.problems.push(`${path}: not a run's record, left alone with what is the run's: ${problem}`);
  const due = dead.filter((run) => isOld(Date.now() - Date.parse(run.createdAt)));
  for (const run of due) {
    if (request.dryRun) log.removed.push(...describeLeftovers(run, registry.name));
    else await removeDeadRun(run, { registry, openCleaner, log });
  }
  const known = new Set([...live, ...foreign, ...dead, ...unreadable].map(({ buildId }) => buildId));
  const dueIds = new Set(due.map(({ buildId }) => buildId));
  const left = found.containers.filter(
    ({ buildId, createdAtMs }) => (dueIds.has(buildId) || !known.has(buildId)) && isOld(Date.now() - createdAtMs),
  );
  if (request.dryRun) log.removed.push(...left.map((container) => `container ${container.name}`));
  else if (found.cleaner !== null) log.add(await removeInTurn(found.cleaner, left, defaultGraceMs));
  const unknown = marked.filter(({ pid, startTime }) => {
    const buildId = readProcessEnvironment(pid)?.get(buildIdVariable);
    return buildId !== undefined && !known.has(buildId) && isOld(processAgeMs(startTime));
  });
  if (request.dryRun) log.removed.push(...unknown.map(({ pid }) => `process ${pid}, whose run is not known any more`));
  else await endStrays(unknown, defaultGraceMs, log);
  return log.report();
}

/** No daemon, no containers: nothing to say on a machine that only ever ran processes. */
async function listContainers(
  openCleaner: () => Promise<ContainerCleaner>,
): Promise<{ readonly cleaner: ContainerCleaner | null; readonly containers: readonly LabelledContainer[] }> {
  try {
    const cleaner = await openCleaner();
    return { cleaner, containers: await cleaner.list(null) };
  } catch {
    return { cleaner: null, containers: [] };
  }
}

/** As long as it is cleaned, the run counts as live with us as its keeper: no new run may take its id, no other `clean` joins in. */
async function removeDeadRun(
  { buildId }: LiveRun,
  {
    registry,
    openCleaner,
    log,
  }: { readonly registry: Registry; readonly log: ReleaseLog; openCleaner(): Promise<ContainerCleaner> },
): Promise<void> {
  try {
    const dead = await registry.withLock(async () => {
      const now = registry.read(buildId);
      if (now === null || judgeLiveness(now) !== 'dead') return null;
      registry.write({ ...now, bootId: readBootId(), mode: 'attached', keeper: identifySelf() });
      return now;
    });
    if (dead === null) return;
    const report = await releaseDeadRun(dead, { registry, openCleaner });
    log.add(report);
    if (report.problems.length === 0) log.removed.push(`record of run ${buildId}`);
    else registry.write(dead);
  } catch (error) {
    log.problems.push(`run ${buildId}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Engines, then the cache servers they use. */
async function releaseLedGroups(run: LiveRun, graceMs: number, log: ReleaseLog): Promise<void> {
  const engines = Object.values(run.engines);
  const [servers] = partition(engines, ({ spec }) => isCacheServer(spec.program));
  const serverGroups = new Set(servers.flatMap((server) => groupOf(server)).map(({ pgid }) => pgid));
  const [last, first] = partition(ledGroups(run), ({ pgid }) => serverGroups.has(pgid));
  const turns = {
    engines: () => releaseGroups(first, graceMs, log),
    servers: (leftMs: number) => releaseGroups(last, leftMs, log),
  };
  await endInTurn(turns, graceMs);
}

/** Engines and groups whose leader still lives; leaderless members are found by their mark instead. */
function ledGroups(run: LiveRun): readonly ProcessGroup[] {
  return [...Object.values(run.engines).flatMap(groupOf), ...run.processGroups].filter(
    (group) => identifyProcess(group.pgid)?.startTime === group.startTime,
  );
}

function groupOf({ state }: LiveEngine): readonly ProcessGroup[] {
  const running = state.status === 'starting' || state.status === 'ready' ? state.handle : null;
  return running?.kind === 'process' ? [{ pgid: running.pid, startTime: running.startTime }] : [];
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

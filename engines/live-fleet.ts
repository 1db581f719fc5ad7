import path from 'node:path';
import { releaseDeadRun } from './clean.js';
import { ExternalFleet } from './external-fleet.js';
import { connectKeeper, type KeeperClient, spawnKeeper } from './keeper-client.js';
import { KeeperFleet } from './keeper-fleet.js';
import type { LiveRun } from './live-run.js';
import { identifySelf, readBootId, readPidNamespace } from './process-identity.js';
import { openRegistry, type Registry } from './registry.js';
import type { CreateFleetOptions, ExternalServers, JoinFleetOptions, RunFleet } from './run-fleet.js';

const defaultStopGraceMs = 10_000;

/**
 * Announces a new run in the registry and starts its keeper; nothing else is started yet. What a dead run of
 * the same BUILD_ID has left is removed first. The keeper is not waited for: a keeper that does not start is the
 * EngineStartError of whatever needs it first.
 * @throws BuildIdTakenError when a live run has the BUILD_ID.
 */
export async function createFleet(options: CreateFleetOptions): Promise<RunFleet> {
  const registry = openRegistry(options.registryDir);
  const run: LiveRun = {
    version: 1,
    buildId: options.buildId,
    bootId: readBootId(),
    pidNamespace: readPidNamespace(),
    orchestrator: identifySelf(),
    keeper: null,
    socketPath: null,
    mode: 'attached',
    createdAt: new Date().toISOString(),
    resultsDir: options.resultsDir,
    engine: options.engine,
    runtime: options.runtime,
    ports: options.ports,
    ...(options.joinable === false ? { joinable: false } : {}),
    settings: options.settings,
    gpus: [],
    engines: {},
    processGroups: [],
  };
  const { replaced } = await registry.create(run);
  let keeper: KeeperClient | null = null;
  try {
    keeper = spawnKeeper({
      registryDir: registry.directory,
      logPath: path.join(options.resultsDir, 'logs', 'keeper.log'),
    });
    if (replaced) await releaseDeadRun(replaced, { registry, keepRecord: true });
  } catch (error) {
    await keeper?.close();
    registry.remove(run.buildId);
    throw error;
  }
  const opened = openRun(keeper, run, options.stopGraceMs ?? defaultStopGraceMs, registry);
  return new KeeperFleet(registry, run, keeper, opened, options);
}

async function openRun(keeper: KeeperClient, run: LiveRun, stopGraceMs: number, registry: Registry): Promise<void> {
  try {
    await keeper.request({ op: 'open', run, stopGraceMs });
  } catch (error) {
    await keeper.close();
    registry.remove(run.buildId);
    throw error;
  }
}

/**
 * The fleet of a run that another process has started. Where its keeper cannot be reached any more, the
 * registry's record is all that is known.
 */
export async function joinFleet(run: LiveRun, options: JoinFleetOptions = {}): Promise<RunFleet> {
  const registry = openRegistry(options.registryDir);
  const keeper = run.socketPath === null ? null : await connectKeeper(run.socketPath).catch(() => null);
  const current = (await keeper?.request({ op: 'join' }).catch(() => null))?.run ?? run;
  return new KeeperFleet(registry, current, keeper, Promise.resolve(), options);
}

/** Servers that run already: nothing is launched, nothing is removed. */
export function externalFleet(servers: ExternalServers): RunFleet {
  return new ExternalFleet(servers);
}

import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { EngineStartError } from '../../engines/errors.js';
import type { ReservedGpu } from '../../engines/live-run.js';
import { makeFolder } from '../../results-schema/make-folder.js';
import type { EngineBootstrapper } from '../engine-bootstrapper.js';
import type { EngineHost } from '../engine-host.js';
import { ExternalEngine } from '../external-engine.js';
import { engineLabel } from './engine-label.js';
import { type EnginePlace, engineSpec, type LaunchPlan } from './engine-launch.js';
import { type LmcacheSettings, readLmcacheFile, writeLmcacheYaml } from './lmcache-configuration.js';
import { SharedServers } from './shared-servers.js';
import type { Engine, StartedEngineConfiguration } from './terms.js';

/** One engine of an experiment, ready to be started. */
export interface PlannedEngine {
  readonly id: number;
  readonly label: string;
  readonly model: string;
  readonly bootstrapper: EngineBootstrapper;
  /** Numbers of its GPUs; none for one that runs elsewhere. */
  readonly gpus: readonly number[];
  /** As it is started, for the notes; empty for one that runs elsewhere. */
  readonly command: readonly string[];
}

/** What an experiment starts, in this order: servers that engines need, then the engines. */
export interface PlannedEngines {
  readonly servers: readonly EngineBootstrapper[];
  readonly engines: readonly PlannedEngine[];
  /** Removes files that were written for them. */
  dispose(): void;
}

export interface PlanOptions {
  readonly host: EngineHost;
  readonly launch: LaunchPlan;
  readonly ports: readonly number[];
  /** For configuration files and local disks. */
  readonly directory: string;
  /** Free memory a GPU must have. */
  readonly minFreeGpuMiB: number;
  readonly signal: AbortSignal;
}

/**
 * Decides ports, GPUs, configuration files and shared servers of an experiment's engines; starts nothing.
 * @throws Error for a configuration that cannot be used, EngineStartError when there are too few GPUs.
 */
export async function planEngines(configurations: readonly Engine[], options: PlanOptions): Promise<PlannedEngines> {
  const { host, launch, directory } = options;
  makeFolder(directory);
  const reserved = await reserveGpus(configurations, options);
  const servers = new SharedServers(launch);
  let nextGpu = 0;
  const engines = configurations.map((configuration, id): PlannedEngine => {
    const label = engineLabel(configuration);
    const model = configuration.model ?? launch.model;
    if (configuration.program === 'external') {
      const bootstrapper = new ExternalEngine(`engine ${id}`, configuration.url);
      return { id, label, model, bootstrapper, gpus: [], command: [] };
    }
    const count = configuration.tensorParallelSize ?? 1;
    const cards = reserved?.slice(nextGpu, nextGpu + count) ?? null;
    const gpus = cards?.map(({ index }) => index) ?? Array.from({ length: count }, (_, index) => nextGpu + index);
    nextGpu += count;
    const port = portOf(configuration, id, options.ports);
    const cache = cacheFiles(configuration, path.join(directory, `engine-${id}`));
    if (configuration.lmcache) servers.need(configuration.lmcache, cache.settings, reserved);
    const place: EnginePlace = { port, gpus, reserved: cards, configFile: cache.file, directories: cache.directories };
    const spec = engineSpec(configuration, place, launch);
    const command = [...spec.command.map(shown), ...spec.args];
    return { id, label, model, bootstrapper: host.server(spec), gpus, command };
  });
  return {
    servers: (await servers.specs(directory)).map((spec) => host.server(spec)),
    engines,
    dispose: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** Of the simulator's own command only that it is one. */
function shown(word: string): string {
  return word === process.execPath ? 'node' : path.isAbsolute(word) ? path.relative(packageRoot, word) : word;
}

const packageRoot = fileURLToPath(new URL('../../../', import.meta.url));

function portOf(engine: StartedEngineConfiguration, id: number, ports: readonly number[]): number {
  const port = engine.port ?? ports[id];
  if (port !== undefined) return port;
  throw new Error(`engine ${id} has no port: ${ports.length} are given (-p), set \`port\` or give more`);
}

async function reserveGpus(engines: readonly Engine[], options: PlanOptions): Promise<readonly ReservedGpu[] | null> {
  const count = engines.reduce(
    (sum, engine) => sum + (engine.program === 'external' ? 0 : (engine.tensorParallelSize ?? 1)),
    0,
  );
  if (options.launch.engine === 'sim' || count === 0) return null;
  const gpus = await options.host.reserveGpus({
    count,
    minFreeMiB: options.minFreeGpuMiB,
    maxUtilizationPercent: 20,
    waitMs: 60_000,
    signal: options.signal,
  });
  if (gpus.length < count) throw new EngineStartError(`${count} GPUs are needed`, { failureCause: 'no-gpu' });
  // Engine 0 on the first card.
  return gpus.toSorted((a, b) => a.index - b.index);
}

interface CacheFiles {
  readonly settings: LmcacheSettings;
  /** null: the engine reads none. */
  readonly file: string | null;
  readonly directories: readonly string[];
}

/** The engine's configuration file, written where it is given as its content; the directories of its disk tiers. */
function cacheFiles({ lmcache }: StartedEngineConfiguration, directory: string): CacheFiles {
  if (!lmcache || lmcache.server !== undefined) return { settings: {}, file: null, directories: [] };
  const given = lmcache.config;
  const settings = typeof given === 'string' ? readLmcacheFile(given) : given;
  makeFolder(directory);
  const file = typeof given === 'string' ? path.resolve(given) : path.join(directory, 'lmcache.yaml');
  if (typeof given !== 'string') writeFileSync(file, writeLmcacheYaml(settings));
  const disks = [settings.local_device, settings.local_disk].flatMap((device) =>
    typeof device === 'string' && device.startsWith('file://') ? [fileURLToPath(device)] : [],
  );
  for (const disk of disks) makeFolder(disk);
  return { settings, file, directories: [path.dirname(file), ...disks] };
}

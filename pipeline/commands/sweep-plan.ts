import { userInfo } from 'node:os';
import path from 'node:path';
import { builtInRegistry, defaultEnvironment } from '../../experiments/sweep/built-in-registry.js';
import { traceOf } from '../../experiments/sweep/dataset-reader.js';
import { buildGrid, type PlannedExperiment, type Shard, takeShard } from '../../experiments/sweep/grid.js';
import { loadSweepFile, type SweepDefinition } from '../../experiments/sweep/load-sweep.js';
import {
  type EnvironmentSettings,
  type ModelRegistry,
  UnknownNameError,
} from '../../experiments/sweep/model-registry.js';
import { findRegistryFiles, loadRegistryFile } from '../../experiments/sweep/registry-file.js';
import { SourceError, type SourceProblem } from '../../experiments/sweep/source-problem.js';
import { detectTraceFormat, openTrace } from '../../workloads/traces/open-trace.js';
import { type Trace, TraceFileError, traceFormats } from '../../workloads/traces/trace.js';
import { UsageError } from '../usage-error.js';
import { demoDefinition } from './sweep-demo.js';

/** One document of the sweep's file with its grid. */
export interface PlannedSweep {
  readonly definition: SweepDefinition;
  /** All of it; a shard runs a part. */
  readonly gridSize: number;
  readonly grid: readonly PlannedExperiment[];
}

export interface SweepPlan {
  readonly sweeps: readonly PlannedSweep[];
  readonly environment: EnvironmentSettings;
  readonly shard: Shard | null;
  /** By a reader of the user's, or the package's own. @throws TraceFileError */
  openDataset(file: string, format: string): Promise<Trace>;
}

/** @throws UsageError with all that is wrong in the files. */
export async function planSweep(parsed: Readonly<Record<string, unknown>>): Promise<SweepPlan> {
  const file = typeof parsed['yaml'] === 'string' ? parsed['yaml'] : null;
  const shard = parseShard(parsed['shard']);
  return readable(async () => {
    const registry = await loadRegistry(parsed, file === null ? null : path.dirname(file));
    const environment = chooseEnvironment(registry, parsed['environment']);
    const known = [...traceFormats, ...registry.datasetFormats];
    const definitions = file === null ? [await demoDefinition()] : loadSweepFile(file, { registry, formats: known });
    const formats = await detectFormats(definitions);
    const sweeps = definitions.map((definition) => {
      const grid = buildGrid(definition, registry, environment.name, (dataset) => formats.get(dataset) ?? '');
      return { definition, gridSize: grid.length, grid: takeShard(grid, shard) };
    });
    return { sweeps, environment, shard, openDataset: opener(registry) };
  });
}

/** What the package ships and what the user's files add. @throws UsageError */
export async function loadRegistry(
  parsed: Readonly<Record<string, unknown>>,
  sweepDirectory: string | null,
): Promise<ModelRegistry> {
  const given = parsed['models'];
  const asked = (Array.isArray(given) ? given : given === undefined ? [] : [given]).map(String);
  return readable(async () => {
    const registry = builtInRegistry();
    for (const file of findRegistryFiles(asked, sweepDirectory)) await loadRegistryFile(file, registry);
    return registry;
  });
}

/** The one asked for, else the user's, else LMCACHE. @throws UsageError for an unknown one. */
export function chooseEnvironment(registry: ModelRegistry, asked: unknown): EnvironmentSettings {
  try {
    if (typeof asked === 'string') return registry.environment(asked);
    const user = userName();
    // A later registration is the user's own.
    const own = registry.environments.findLast(({ users }) => user !== null && users.includes(user));
    return own ?? registry.environment(defaultEnvironment);
  } catch (error) {
    if (error instanceof UnknownNameError) throw new UsageError(`--environment: ${error.message}`);
    throw error;
  }
}

/** Of the account: in a container it may have none. */
function userName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}

function opener(registry: ModelRegistry): SweepPlan['openDataset'] {
  return async (file, format) => {
    const reader = registry.datasetReader(format);
    if (reader !== null) return traceOf(file, format, reader);
    const own = traceFormats.find((name) => name === format);
    return openTrace(file, own === undefined ? {} : { format: own });
  };
}

/** Of the data sets whose form the file does not say. @throws SourceError */
async function detectFormats(definitions: readonly SweepDefinition[]): Promise<ReadonlyMap<string, string>> {
  const formats = new Map<string, string>();
  for (const definition of definitions) {
    const problems: SourceProblem[] = [];
    for (const { file, format, place } of definition.datasets) {
      if (format !== null || formats.has(file)) continue;
      try {
        formats.set(file, await detectTraceFormat(file));
      } catch (error) {
        if (!(error instanceof TraceFileError)) throw error;
        problems.push({ line: place?.line ?? 1, column: place?.column ?? 1, message: `path: ${error.message}` });
      }
    }
    if (problems.length > 0) throw new SourceError(definition.file ?? 'the demo', problems);
  }
  return formats;
}

function parseShard(value: unknown): Shard | null {
  if (value === undefined) return null;
  const [, index, of] = /^(\d{1,6})\/(\d{1,6})$/.exec(String(value)) ?? [];
  const shard = { index: Number(index), of: Number(of) };
  if (shard.index >= 1 && shard.index <= shard.of) return shard;
  throw new UsageError(`--shard is "${value}"; allowed: i/n with i from 1 to n, e.g. 2/4. Nothing was started.`);
}

async function readable<Value>(read: () => Promise<Value>): Promise<Value> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof SourceError) throw new UsageError(`${error.message}\nNothing was started.`);
    throw error;
  }
}

import { createHash } from 'node:crypto';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { SweepConfiguration } from '../../results-schema/sweep-summary.js';
import type { SweepDefinition, SweptDataset } from './load-sweep.js';
import { gpusOf, type ModelRegistry } from './model-registry.js';

/** One experiment of the grid. */
export interface PlannedExperiment {
  /** Every swept parameter in words; unique within the sweep. */
  readonly name: string;
  /** Place in the whole grid, from 0. */
  readonly position: number;
  readonly configuration: SweepConfiguration;
  /** The data set, absolute. */
  readonly datasetFile: string;
  /** How many GPUs it takes. */
  readonly gpus: number;
}

export const serverLogName = (name: string): string => `server_${name}.log`;
export const clientLogName = (name: string): string => `client_${name}.log`;

/**
 * The product cache_sizes x request_rates x use_conversation_evictions of each data set.
 * @param formatOf the reader of a data set whose format the file does not say
 */
export function buildGrid(
  definition: SweepDefinition,
  registry: ModelRegistry,
  environment: string,
  formatOf: (file: string) => string,
): readonly PlannedExperiment[] {
  const model = registry.model(definition.modelName);
  const { name, tensorParallelSize, pipelineParallelSize, maxModelLength } = model;
  const served = { name, path: registry.modelPath(name, environment) };
  const datasetNames = nameDatasets(definition.datasets);
  const points = definition.datasets.flatMap((dataset) =>
    dataset.cacheSizesGb.flatMap((cacheSizeGb) =>
      dataset.requestRates.flatMap((requestRate) =>
        dataset.conversationEvictions.map((conversationEviction) => ({
          datasetFile: dataset.file,
          configuration: {
            model: { ...served, tensorParallelSize, pipelineParallelSize, maxModelLength },
            dataset: {
              path: dataset.path,
              name: datasetNames.get(dataset.file) ?? dataset.path,
              format: dataset.format ?? formatOf(dataset.file),
            },
            cacheSizeGb,
            requestRate,
            conversationEviction,
            conversationEvictionConfig: conversationEviction ? dataset.conversationEvictionConfig : null,
            numPrompts: dataset.numPrompts,
            timeLimitSeconds: dataset.timeLimitSeconds,
            mockDecoding: dataset.mockDecoding,
          } satisfies SweepConfiguration,
        })),
      ),
    ),
  );
  const names = nameExperiments(points.map(({ configuration }) => configuration));
  return points.map((point, position) => {
    return { ...point, name: names[position] ?? String(position), position, gpus: gpusOf(model) };
  });
}

/** `i/n`: every n-th experiment, from the i-th. */
export interface Shard {
  readonly index: number;
  readonly of: number;
}

export function takeShard(grid: readonly PlannedExperiment[], shard: Shard | null): readonly PlannedExperiment[] {
  return shard === null ? grid : grid.filter(({ position }) => position % shard.of === shard.index - 1);
}

/** Names without endings; of several files with the same one `<name>`, `<name>-2`, ... */
function nameDatasets(datasets: readonly SweptDataset[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const { file } of datasets) {
    if (names.has(file)) continue;
    const stem = path.basename(file, path.extname(file)).replace(/[^A-Za-z0-9._-]+/g, '-');
    const name = unused(stem, taken, '-');
    taken.add(name);
    names.set(file, name);
  }
  return names;
}

function nameExperiments(configurations: readonly SweepConfiguration[]): readonly string[] {
  const varies = (read: (configuration: SweepConfiguration) => unknown) =>
    configurations.some(
      (configuration) => !isDeepStrictEqual(read(configuration), read(configurations[0] ?? configuration)),
    );
  const variesPrompts = varies(({ numPrompts }) => numPrompts);
  const variesTime = varies(({ timeLimitSeconds }) => timeLimitSeconds);
  const variesMock = varies(({ mockDecoding }) => mockDecoding);
  const aware = configurations.filter(({ conversationEviction }) => conversationEviction);
  const variesEviction = new Set(aware.map((configuration) => evictionKey(configuration))).size > 1;
  const taken = new Set<string>();
  return configurations.map((configuration) => {
    const { dataset, cacheSizeGb, requestRate, conversationEviction, numPrompts, timeLimitSeconds, mockDecoding } =
      configuration;
    const parts = [
      dataset.name,
      `${cacheSizeGb}gb`,
      `${requestRate}rps`,
      conversationEviction ? 'conversation' : 'lru',
      ...(variesEviction && conversationEviction ? [`eviction-${evictionKey(configuration)}`] : []),
      ...(variesPrompts ? [`${numPrompts}prompts`] : []),
      ...(variesTime ? [`${timeLimitSeconds}s`] : []),
      ...(variesMock ? [mockDecoding ? 'mock' : 'decoding'] : []),
    ];
    // The same point of the grid asked for twice is measured twice.
    const name = unused(parts.join('_'), taken, '_');
    taken.add(name);
    return name;
  });
}

function evictionKey({ conversationEvictionConfig }: SweepConfiguration): string {
  return createHash('sha256').update(JSON.stringify(conversationEvictionConfig)).digest('hex').slice(0, 6);
}

function unused(name: string, taken: ReadonlySet<string>, joint: string): string {
  for (let number = 2, candidate = name; ; number += 1) {
    if (!taken.has(candidate)) return candidate;
    candidate = `${name}${joint}${number}`;
  }
}

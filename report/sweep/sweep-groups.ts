import type { SweepConfiguration, SweepExperiment } from '../../results-schema/sweep-summary.js';
import { groupBy } from '../group-by.js';

/** Experiments that differ only in cache size, request rate and eviction: what one set of curves shows. */
export interface SweepGroup {
  readonly title: string;
  readonly experiments: readonly SweepExperiment[];
}

/** Model and data set, and whatever else differs between groups of the same two. */
export function sweepGroups(experiments: readonly SweepExperiment[]): readonly SweepGroup[] {
  const groups = [...groupBy(experiments, ({ configuration }) => JSON.stringify(traits(configuration))).values()];
  return groups.map((group) => {
    const own = traitsOf(group);
    const rivals = groups.map(traitsOf).filter((other) => other.model === own.model && other.dataset === own.dataset);
    const differing = traitNames.filter((name) => new Set(rivals.map((other) => other[name])).size > 1);
    return {
      title: [`${own.dataset} on ${own.model}`, ...differing.map((name) => own[name])].join(', '),
      experiments: group,
    };
  });
}

type Traits = Readonly<Record<'model' | 'dataset' | (typeof traitNames)[number], string>>;
const traitNames = ['prompts', 'limit', 'decoding', 'eviction'] as const;

function traits({ model, dataset, ...rest }: SweepConfiguration): Traits {
  const { conversationEvictionConfig: eviction } = rest;
  return {
    model: model.name,
    dataset: dataset.name,
    prompts: `at most ${rest.numPrompts} prompts`,
    limit: `at most ${rest.timeLimitSeconds} s`,
    decoding: rest.mockDecoding ? 'mock decoding' : 'real decoding',
    eviction: eviction === null ? 'default eviction options' : `eviction ${JSON.stringify(eviction)}`,
  };
}

function traitsOf([first]: readonly SweepExperiment[]): Traits {
  if (first === undefined) throw new Error('a group has at least one experiment');
  return traits(first.configuration);
}

import type { SweepExperiment, SweepSummary } from '../../results-schema/sweep-summary.js';
import { totalsOf } from './summary-store.js';
import type { EarlierSweep } from './sweep-directory.js';

/** Directories that are not parts of one sweep. */
export class MergeError extends Error {
  override readonly name = 'MergeError';
}

export interface MergedSweep {
  readonly summary: SweepSummary;
  /** Where each experiment's logs lie, by its name. */
  readonly sources: ReadonlyMap<string, string>;
  /** Places of the grid that none of the directories holds, from 0. */
  readonly missing: readonly number[];
}

/** Of an experiment that several directories hold, the best: successful before failed before not run. */
const rank = { successful: 0, failed: 1, pending: 2 } as const;

/**
 * Puts the shards of a sweep together.
 * @throws MergeError when they are not of one sweep.
 */
export function mergeSweeps(parts: readonly EarlierSweep[]): MergedSweep {
  const [first] = parts;
  if (first === undefined) throw new MergeError('no directory of results is named');
  for (const part of parts) checkSameSweep(first, part);
  const chosen = new Map<string, { readonly experiment: SweepExperiment; readonly directory: string }>();
  for (const { directory, summary } of parts) {
    for (const experiment of summary.experiments) {
      const known = chosen.get(experiment.name);
      if (known === undefined || rank[experiment.result.outcome] < rank[known.experiment.result.outcome]) {
        chosen.set(experiment.name, { experiment, directory });
      }
    }
  }
  const experiments = [...chosen.values()].map(({ experiment }) => experiment).sort((a, b) => a.position - b.position);
  const held = new Set(experiments.map(({ position }) => position));
  const { summary } = first;
  const times = parts.map((part) => part.summary);
  return {
    summary: {
      ...summary,
      createdAt: times.map(({ createdAt }) => createdAt).sort()[0] ?? summary.createdAt,
      updatedAt:
        times
          .map(({ updatedAt }) => updatedAt)
          .sort()
          .at(-1) ?? summary.updatedAt,
      shard: null,
      experiments,
      totals: totalsOf(experiments),
    },
    sources: new Map([...chosen].map(([name, { directory }]) => [name, directory])),
    missing: Array.from({ length: summary.gridSize }, (_, position) => position).filter((place) => !held.has(place)),
  };
}

/** What must be the same for figures to stand side by side. */
function checkSameSweep(first: EarlierSweep, other: EarlierSweep): void {
  const facts = ({ summary }: EarlierSweep): Readonly<Record<string, string>> => ({
    tag: summary.tag,
    document: String(summary.definition.document),
    'size of the grid': String(summary.gridSize),
    engine: summary.engine,
    simulator: summary.simulated === null ? 'none' : `${summary.simulated.profile} at x${summary.simulated.speed}`,
    environment: summary.environment,
  });
  const [ours, theirs] = [facts(first), facts(other)];
  const different = Object.keys(ours).filter((name) => ours[name] !== theirs[name]);
  if (different.length === 0) return;
  const lines = different.map((name) => `${name} "${ours[name]}" and "${theirs[name]}"`);
  throw new MergeError(`"${first.directory}" and "${other.directory}" are not of one sweep: ${lines.join(', ')}`);
}

import { median } from '../../workloads/statistics.js';
import type { ResultRow } from './results-csv.js';
import type { Shows, Side } from './shows.js';

/** A difference that a test case exists to show, as it was measured in one experiment. */
export interface Difference {
  readonly experimentId: number;
  readonly shows: Shows;
  /** Medians; null where nothing was measured. */
  readonly better: number | null;
  readonly worse: number | null;
  /** How many times better; above 1 is better. null where it cannot be told. */
  readonly ratio: number | null;
  readonly atLeast: number;
  /** `unclear`: the client had too little of the machine. `not compared`: the other function was not run. */
  readonly outcome: 'shown' | 'not shown' | 'unclear' | 'not compared';
}

/** An experiment that was measured, with what it is to show. */
export interface MeasuredExperiment {
  readonly function: string;
  readonly id: number;
  readonly shows: readonly Shows[];
  readonly rows: readonly ResultRow[];
  readonly overloaded: boolean;
}

const defaultAtLeast = 1.1;

/** Compares what was measured, difference by difference. */
export function differencesOf(
  experiment: MeasuredExperiment,
  all: readonly MeasuredExperiment[],
): readonly Difference[] {
  return experiment.shows.map((shows): Difference => {
    const of = (side: Side) =>
      side.function === undefined
        ? experiment
        : all.find(({ function: name, id }) => name === side.function && id === experiment.id);
    const [better, worse] = [shows.better, shows.worse].map((side) =>
      medianOf(shows.metric, side, of(side)?.rows ?? []),
    );
    const sides = [of(shows.better), of(shows.worse)];
    const atLeast = shows.atLeast ?? defaultAtLeast;
    const ratio = ratioOf(shows.metric, better ?? null, worse ?? null);
    const isShown = ratio !== null && ratio >= atLeast;
    const outcome = sides.includes(undefined)
      ? 'not compared'
      : isShown
        ? 'shown'
        : sides.some((side) => side?.overloaded)
          ? 'unclear'
          : 'not shown';
    return {
      experimentId: experiment.id,
      shows,
      better: better ?? null,
      worse: worse ?? null,
      ratio,
      atLeast,
      outcome,
    };
  });
}

function ratioOf(metric: Shows['metric'], better: number | null, worse: number | null): number | null {
  if (better === null || worse === null || better <= 0 || worse <= 0) return null;
  return metric === 'throughput' ? better / worse : worse / better;
}

function medianOf(metric: Shows['metric'], side: Side, rows: readonly ResultRow[]): number | null {
  const values = rows.flatMap((row) => {
    if (row.engineId !== side.engine || !isChosen(side.requests ?? 'all', row.requestId)) return [];
    const value = { TTFT: row.ttft, throughput: row.throughput, latency: row.latency }[metric];
    return value === null ? [] : [value];
  });
  return values.length === 0 ? null : median(values);
}

function isChosen(requests: NonNullable<Side['requests']>, requestId: number): boolean {
  if (requests === 'all') return true;
  if (requests === 'first') return requestId === 0;
  if (requests === 'later') return requestId > 0;
  return requests.includes(requestId);
}

/** `engine 1, requests 1 to 9`: in words, for tables. */
export function describeSide({ function: name, engine, requests = 'all' }: Side): string {
  const which = {
    all: '',
    first: ', first request',
    later: ', later requests',
  };
  return `${name === undefined ? '' : `${name}, `}engine ${engine}${typeof requests === 'string' ? which[requests] : `, requests ${requests.join(', ')}`}`;
}

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
  readonly isShown: boolean;
}

const defaultAtLeast = 1.1;

/** Compares what was measured, difference by difference. */
export function differencesOf(
  experimentId: number,
  shows: readonly Shows[],
  rows: readonly ResultRow[],
): readonly Difference[] {
  return shows.map((wanted): Difference => {
    const better = medianOf(wanted.metric, wanted.better, rows);
    const worse = medianOf(wanted.metric, wanted.worse, rows);
    const atLeast = wanted.atLeast ?? defaultAtLeast;
    const ratio = ratioOf(wanted.metric, better, worse);
    return { experimentId, shows: wanted, better, worse, ratio, atLeast, isShown: ratio !== null && ratio >= atLeast };
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
export function describeSide({ engine, requests = 'all' }: Side): string {
  const which = {
    all: '',
    first: ', first request',
    later: ', later requests',
  };
  return `engine ${engine}${typeof requests === 'string' ? which[requests] : `, requests ${requests.join(', ')}`}`;
}

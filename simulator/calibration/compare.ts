import { median } from './median.js';
import { figuresOf, type PredictedEngine, predictRounds, predictStep, predictTtft } from './predict.js';
import type { RecordedCase, RoundCase } from './recordings.js';
import { type Part, partsOf } from './split.js';

/** A predicted figure beside the measured one, in its unit. */
export interface Comparison {
  readonly group: 'TTFT' | 'decode step' | 'long-doc QA' | 'bench';
  /** What was measured: `lmcache, 8001 tokens, from L1`. */
  readonly label: string;
  readonly engine: 'baseline' | 'lmcache';
  readonly part: Part;
  readonly unit: 's' | 'ms' | 'tok/s';
  readonly predicted: number;
  readonly measured: number;
  /** Smallest and greatest of the repetitions, where there were some. */
  readonly spread: readonly [number, number] | null;
  /** predicted / measured - 1. */
  readonly error: number;
}

const SOURCES = { none: 'cold', gpu: 'from the GPU', lmcache: 'from LMCache' } as const;

/** Every recorded case beside its prediction. Rounds of one folder and engine follow each other on one engine. */
export async function compare(
  predicted: PredictedEngine,
  cases: readonly RecordedCase[],
): Promise<readonly Comparison[]> {
  const parts = partsOf(cases);
  const quiet = cases.flatMap((entry, index) => quietComparison(predicted, entry, parts[index] ?? 'validation'));
  const rounds = cases.flatMap((entry, index) =>
    entry.kind === 'round' ? [{ round: entry, part: parts[index] ?? 'validation' }] : [],
  );
  const comparisons = [...quiet];
  for (const server of groupBy(
    rounds,
    ({ round }) => `${round.folder} ${round.engine} ${round.workload === 'bench'}`,
  )) {
    const ordered = server.toSorted((left, right) => right.round.workload.localeCompare(left.round.workload));
    const figures = await predictRounds(
      predicted,
      ordered.map(({ round }) => round),
    );
    for (const [index, { round, part }] of ordered.entries()) {
      const own = figures[index];
      if (own !== undefined) comparisons.push(...roundComparisons(round, part, own));
    }
  }
  return comparisons;
}

function quietComparison(predicted: PredictedEngine, entry: RecordedCase, part: Part): readonly Comparison[] {
  if (entry.kind === 'round') return [];
  const { engine } = entry;
  if (entry.kind === 'step') {
    const label = `${engine}, batch ${entry.batch}, contexts of ${entry.contextTokens}`;
    const pair = { predicted: predictStep(predicted, entry) * 1000, measured: entry.seconds * 1000 };
    return [complete({ group: 'decode step', label, engine, part, unit: 'ms', ...pair, spread: null })];
  }
  const { samples, promptTokens, cachedIn } = entry;
  const label = `${engine}, ${promptTokens} tokens, ${SOURCES[cachedIn]}`;
  const pair = { predicted: predictTtft(predicted, entry) * 1000, measured: median(samples) * 1000 };
  const spread = [Math.min(...samples) * 1000, Math.max(...samples) * 1000] as const;
  return [complete({ group: 'TTFT', label, engine, part, unit: 'ms', ...pair, spread })];
}

function roundComparisons(
  round: RoundCase,
  part: Part,
  own: { readonly ttft: number; readonly roundTime: number; readonly itl: number; readonly throughput: number },
): readonly Comparison[] {
  const measured = figuresOf(round.requests);
  const { engine } = round;
  const head = { engine, part, spread: null };
  if (round.workload === 'bench') {
    const pair = { predicted: own.throughput, measured: measured.throughput };
    return [complete({ ...head, group: 'bench', label: `${engine}, throughput`, unit: 'tok/s', ...pair })];
  }
  const name = round.workload === 'longdoc-query' ? 'queries' : 'warm-up';
  const figure = (what: string, unit: 's' | 'ms', prediction: number, measurement: number): Comparison =>
    complete({
      ...head,
      group: 'long-doc QA',
      label: `${engine}, ${name}, ${what}`,
      unit,
      predicted: prediction,
      measured: measurement,
    });
  const roundTime = figure('round time a prompt', 's', own.roundTime, measured.roundTime);
  // The workload reports no other figure of its warm-up.
  if (round.workload === 'longdoc-warmup') return [roundTime];
  return [
    figure('TTFT', 's', own.ttft, measured.ttft),
    roundTime,
    figure('ITL', 'ms', own.itl * 1000, measured.itl * 1000),
  ];
}

function complete(comparison: Omit<Comparison, 'error'>): Comparison {
  return { ...comparison, error: comparison.predicted / comparison.measured - 1 };
}

/** Median and worst absolute error; NaN of none. */
export function errorsOf(comparisons: readonly Comparison[]): { readonly median: number; readonly worst: number } {
  const errors = comparisons.map(({ error }) => Math.abs(error));
  return { median: median(errors), worst: errors.length === 0 ? Number.NaN : Math.max(...errors) };
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): readonly (readonly T[])[] {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return [...groups.values()];
}

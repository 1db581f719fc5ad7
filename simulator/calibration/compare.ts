import type { VirtualRecord } from '../study/virtual-serving.js';
import { mean, median } from './averages.js';
import type { ArrivalsCase, RecordedCase, RoundCase } from './cases.js';
import {
  figuresOf,
  measuredTtft,
  type PredictedEngine,
  predictArrivals,
  predictRounds,
  predictStep,
  predictTtft,
} from './predict.js';
import { groupBy } from './read-recording.js';
import type { Part, SplitCase } from './split.js';

/** A predicted figure beside the measured one, in its unit. */
export interface Comparison {
  readonly group: 'TTFT' | 'decode step' | 'arrivals' | 'long-doc QA' | 'bench';
  /** What was measured: `lmcache, 8001 tokens, from L1`. */
  readonly label: string;
  readonly engine: 'baseline' | 'lmcache';
  readonly part: Part;
  readonly unit: 's' | 'ms' | 'tok/s';
  readonly predicted: number;
  readonly measured: number;
  /** Smallest and greatest of the repetitions, where there were some. */
  readonly spread: readonly [number, number] | null;
  /** predicted / measured - 1; of the ITL of arrivals the median of the requests' own, which has no sign. */
  readonly error: number;
}

const SOURCES = { none: 'cold', gpu: 'from the GPU', lmcache: 'from LMCache' } as const;

/** Every recorded case beside its prediction. Rounds of one folder and engine follow each other on one engine. */
export async function compare(predicted: PredictedEngine, cases: readonly SplitCase[]): Promise<readonly Comparison[]> {
  const comparisons = cases.flatMap(({ entry, part }) => quietComparison(predicted, entry, part));
  for (const { entry, part } of cases) {
    if (entry.kind === 'arrivals') comparisons.push(...(await arrivalsComparisons(predicted, entry, part)));
  }
  const rounds = cases.flatMap(({ entry, part }) => (entry.kind === 'round' ? [{ round: entry, part }] : []));
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
  if (entry.kind !== 'ttft' && entry.kind !== 'step') return [];
  const { engine } = entry;
  if (entry.kind === 'step') {
    const label = `${engine}, batch ${entry.batch}, contexts of ${entry.contextTokens}`;
    const pair = { predicted: predictStep(predicted, entry) * 1000, measured: entry.seconds * 1000 };
    return [complete({ group: 'decode step', label, engine, part, unit: 'ms', ...pair, spread: null })];
  }
  const { repetitions, cachedIn, cameAsIds } = entry;
  const length = Math.round(median(repetitions.map(({ promptTokens }) => promptTokens)));
  const label = `${engine}, ${length} ${cameAsIds ? 'token ids' : 'tokens'}, ${SOURCES[cachedIn]}`;
  const pair = { predicted: predictTtft(predicted, entry) * 1000, measured: measuredTtft(entry) * 1000 };
  const samples = repetitions.map(({ seconds }) => seconds * 1000);
  const spread = [Math.min(...samples), Math.max(...samples)] as const;
  return [complete({ group: 'TTFT', label, engine, part, unit: 'ms', ...pair, spread })];
}

async function arrivalsComparisons(
  predicted: PredictedEngine,
  entry: ArrivalsCase,
  part: Part,
): Promise<readonly Comparison[]> {
  const records = await predictArrivals(predicted, entry);
  const pairs = entry.requests.flatMap((measured, index) => {
    const prediction = records[index];
    return prediction === undefined ? [] : [{ prediction, measured }];
  });
  const head = { group: 'arrivals', engine: entry.engine, part, spread: null } as const;
  const figure = (pick: (pair: (typeof pairs)[number]) => number): number => mean(pairs.map(pick));
  const ttft = complete({
    ...head,
    label: `${entry.engine}, ${entry.name}, mean TTFT`,
    unit: 's',
    predicted: figure(({ prediction }) => prediction.ttft),
    measured: figure(({ measured }) => measured.ttft),
  });
  const itls = pairs
    .filter(({ measured }) => measured.outputTokens > 1)
    .map(({ prediction, measured }) => {
      const gaps = measured.outputTokens - 1;
      const itlOf = ({ start, ttft: first, end }: Pick<VirtualRecord, 'start' | 'ttft' | 'end'>): number =>
        ((end - start - first) / gaps) * 1000;
      return { predicted: itlOf(prediction), measured: itlOf(measured) };
    });
  if (itls.length === 0) return [ttft];
  const itl = {
    ...head,
    label: `${entry.engine}, ${entry.name}, ITL (median error of a request)`,
    unit: 'ms' as const,
    predicted: mean(itls.map((own) => own.predicted)),
    measured: mean(itls.map((own) => own.measured)),
    error: median(itls.map((own) => Math.abs(own.predicted / own.measured - 1))),
  };
  return [ttft, itl];
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

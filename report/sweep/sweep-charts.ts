import type { SweepConfiguration, SweepExperiment } from '../../results-schema/sweep-summary.js';
import { type ChartSeries, type LineChart, maxKins, maxSeries } from '../charts/line-chart.js';
import { logTicks } from '../charts/ticks.js';
import { groupBy } from '../group-by.js';
import { formatNumber } from '../numbers.js';
import { paretoFront } from './pareto-front.js';
import { hitRate, lmcacheHitRate, meanTtft, measurementOf, type SweepFigure, throughputOf } from './sweep-figures.js';

interface SweptAxis {
  readonly title: string;
  readonly label: string;
  readonly of: (configuration: SweepConfiguration) => number;
  /** The name of the other swept value, which tells the lines apart. */
  readonly lineOf: (configuration: SweepConfiguration) => string;
}

const cacheSize: SweptAxis = {
  title: 'cache size',
  label: 'cache size (GB)',
  of: ({ cacheSizeGb }) => cacheSizeGb,
  lineOf: ({ requestRate }) => `${formatNumber(requestRate)} req/s`,
};

const requestRate: SweptAxis = {
  title: 'request rate',
  label: 'request rate (requests/s)',
  of: (configuration) => configuration.requestRate,
  lineOf: ({ cacheSizeGb }) => `${formatNumber(cacheSizeGb)} GB`,
};

export function evictionName(configuration: SweepConfiguration): string {
  return configuration.conversationEviction ? 'conversation-aware' : 'LRU';
}

/**
 * TTFT, throughput and hit rate over each swept value that has more than one, and LMCache's own hit rate where kinds of
 * eviction are compared; a failed experiment is a gap.
 */
export function curves(experiments: readonly SweepExperiment[], simulated: boolean): readonly LineChart[] {
  const figures = [meanTtft, throughputOf(experiments), hitRate];
  if (evictions(experiments).length > 1) figures.push(lmcacheHitRate);
  return [cacheSize, requestRate].flatMap((axis) => {
    if (distinct(experiments, axis).length < 2) return [];
    return figures.flatMap((figure) =>
      byEvictionWhereMany(experiments, axis).map(({ title, experiments: part }) =>
        curve(part, axis, figure, { title, simulated, all: experiments }),
      ),
    );
  });
}

function curve(
  experiments: readonly SweepExperiment[],
  axis: SweptAxis,
  figure: SweepFigure,
  { title, simulated, all }: { title: string; simulated: boolean; all: readonly SweepExperiment[] },
): LineChart {
  const ticks = distinct(all, axis);
  const [lowest = 1, highest = 1] = [ticks[0], ticks.at(-1)];
  return {
    title: `${figure.chartTitle} over ${axis.title}${title}`,
    xLabel: axis.label,
    ...verticalScale(all, figure),
    // Swept values double more often than they grow by the same step.
    xScale: highest / lowest >= 4 ? 'log' : 'linear',
    xTicks: ticks,
    simulated,
    series: lines(experiments, axis, figure, evictions(all).length > 1 && title === ''),
  };
}

/** From 0; where an overloaded server takes many times as long as an idle one, logarithmic, or only it would be seen. */
function verticalScale(experiments: readonly SweepExperiment[], figure: SweepFigure) {
  const values = experiments
    .map(measurementOf)
    .flatMap((measured) => (measured === null ? [] : (figure.of(measured) ?? [])));
  if (figure === meanTtft && spansOrders(values)) {
    return { yLabel: `${figure.label}, logarithmic`, yScale: 'log' as const };
  }
  return { yLabel: figure.label, yMin: 0, ...(figure.yMax === undefined ? {} : { yMax: figure.yMax }) };
}

function spansOrders(values: readonly number[]): boolean {
  const lowest = values.reduce((left, value) => Math.min(left, value), Number.POSITIVE_INFINITY);
  return lowest > 0 && values.some((value) => value >= 20 * lowest);
}

function lines(
  experiments: readonly SweepExperiment[],
  axis: SweptAxis,
  figure: SweepFigure,
  withEviction: boolean,
): ChartSeries[] {
  const sorted = [...experiments].sort((left, right) => sortKey(left, axis) - sortKey(right, axis));
  const nameOf = ({ configuration }: SweepExperiment) =>
    `${axis.lineOf(configuration)}${withEviction ? `, ${evictionName(configuration)}` : ''}`;
  const kinds = new Set(sorted.map(({ configuration }) => axis.lineOf(configuration))).size;
  return [...groupBy(sorted, nameOf)].map(([name, own]) => ({
    name,
    ...(withEviction && kinds <= maxKins && own[0] !== undefined ? { kin: axis.lineOf(own[0].configuration) } : {}),
    points: own
      .map((experiment) => {
        const measured = measurementOf(experiment);
        const y = measured === null ? null : figure.of(measured);
        return { x: axis.of(experiment.configuration), y, label: experiment.name };
      })
      .sort((left, right) => left.x - right.x),
  }));
}

/** Lines in the order of the value that names them. */
function sortKey({ configuration }: SweepExperiment, axis: SweptAxis): number {
  return axis === cacheSize ? configuration.requestRate : configuration.cacheSizeGb;
}

/** One chart, or one for each kind of eviction where there would be too many lines. */
function byEvictionWhereMany(experiments: readonly SweepExperiment[], axis: SweptAxis) {
  const kinds = evictions(experiments);
  const others = new Set(experiments.map(({ configuration }) => axis.lineOf(configuration))).size;
  if (kinds.length < 2 || others * kinds.length <= maxSeries) return [{ title: '', experiments }];
  return [...groupBy(experiments, ({ configuration }) => evictionName(configuration))].map(([name, part]) => ({
    title: `, ${name}`,
    experiments: part,
  }));
}

/** Every successful experiment by TTFT and throughput, and those that no other beats in both. */
export function paretoChart(
  experiments: readonly SweepExperiment[],
  simulated: boolean,
): { readonly chart: LineChart; readonly front: readonly SweepExperiment[] } | null {
  const throughput = throughputOf(experiments);
  const measured = experiments.flatMap((experiment) => {
    const measurement = measurementOf(experiment);
    if (measurement === null || measurement.requests.completed === 0) return [];
    return [{ experiment, cost: measurement.ttftMs.mean, gain: throughput.of(measurement) ?? 0 }];
  });
  if (measured.length < 2) return null;
  const front = paretoFront(measured);
  const costs = measured.map(({ cost }) => cost);
  const log = spansOrders(costs);
  const points = (items: typeof measured) =>
    items.map(({ experiment, cost, gain }) => ({ x: cost, y: gain, label: experiment.name }));
  const kinds = groupBy(measured, ({ experiment }) => evictionName(experiment.configuration));
  return {
    front: front.map(({ experiment }) => experiment),
    chart: {
      title: 'Throughput against TTFT: Pareto front',
      ...(log ? { xLabel: `${meanTtft.label}, logarithmic`, xScale: 'log' as const } : { xLabel: meanTtft.label }),
      ...(log ? { xTicks: logTicks(Math.min(...costs), Math.max(...costs)) } : {}),
      yLabel: throughput.label,
      yMin: 0,
      simulated,
      series: [
        ...[...kinds].map(([name, items]) => ({ name, points: points(items), style: 'points' as const })),
        { name: 'Pareto front', points: points([...front]) },
      ],
    },
  };
}

function evictions(experiments: readonly SweepExperiment[]): readonly string[] {
  return [...new Set(experiments.map(({ configuration }) => evictionName(configuration)))];
}

function distinct(experiments: readonly SweepExperiment[], axis: SweptAxis): number[] {
  const values = new Set(experiments.map(({ configuration }) => axis.of(configuration)));
  return [...values].sort((left, right) => left - right);
}

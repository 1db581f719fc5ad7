/** Where a line has a value; y is null where nothing was measured, and the line has a gap there. */
export interface ChartPoint {
  readonly x: number;
  readonly y: number | null;
  /** What this point is, for readers who point at it: a configuration's name, say. */
  readonly label?: string;
}

export interface ChartSeries {
  readonly name: string;
  readonly points: readonly ChartPoint[];
  /**
   * What it has in common with other series of the chart, a cache size say: they get one colour and differ in dashes
   * and filling. All series of a chart have it or none has; for at most 12 kins of at most 4 series.
   */
  readonly kin?: string;
  /** `points` leaves them unjoined. @default 'line' */
  readonly style?: 'line' | 'points';
}

/** A chart as data: what is drawn and in which units, not how. A renderer draws at most `maxSeries` of them. */
export interface LineChart {
  readonly title: string;
  /** With its unit: `cache size (GB)`. */
  readonly xLabel: string;
  /** With its unit: `TTFT (s)`. */
  readonly yLabel: string;
  readonly series: readonly ChartSeries[];
  /** The y axis starts here. @default 0, or the lowest value where that is negative */
  readonly yMin?: number;
  /** The y axis ends exactly here. @default the next tick above the highest value */
  readonly yMax?: number;
  /** `log` needs y above 0 and takes no yMin and yMax: where values lie orders of magnitude apart. @default 'linear' */
  readonly yScale?: 'linear' | 'log';
  /** The x axis reaches at least down to here. @default the lowest x */
  readonly xMin?: number;
  /** `log` needs x above 0. @default 'linear' */
  readonly xScale?: 'linear' | 'log';
  /** Where the x axis is marked, and which it reaches; swept values, say. @default round numbers */
  readonly xTicks?: readonly number[];
  /** Simulated numbers: the chart says so. */
  readonly simulated: boolean;
}

/** More lines than this nobody can tell apart: draw several charts. */
export const maxSeries = 20;

/** Series of more kins than this cannot have a colour and a marker for each kin. */
export const maxKins = 12;

/**
 * The chart as it is, or as several of at most `maxSeries` series each, evenly filled, on the same axes and with
 * `(1 of 3)` in their titles.
 */
export function splitChart(chart: LineChart): readonly LineChart[] {
  const parts = Math.ceil(chart.series.length / maxSeries);
  if (parts <= 1) return [chart];
  const perPart = Math.ceil(chart.series.length / parts);
  const values = chart.series.flatMap(({ points }) => points.map(({ y }) => y)).filter((y) => y !== null);
  const highest = values.reduce((left, right) => Math.max(left, right), 0);
  return Array.from({ length: parts }, (_, part) => ({
    ...chart,
    title: `${chart.title} (${part + 1} of ${parts})`,
    ...(chart.yScale === 'log' ? {} : { yMax: chart.yMax ?? niceCeiling(highest) }),
    series: chart.series.slice(part * perPart, (part + 1) * perPart),
  }));
}

/** The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten. */
function niceCeiling(value: number): number {
  if (value <= 0) return 1;
  const magnitude = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * magnitude >= value) ?? 10;
  return step * magnitude;
}

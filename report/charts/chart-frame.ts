import { oneLine } from '../plain-text.js';
import type { LineChart } from './line-chart.js';
import { fitText, textWidth } from './text-width.js';
import { logTicks, niceEnd, niceTicks, tickLabels, valueLabels } from './ticks.js';

/** An axis as it is drawn: values are placed on a linear scale, whatever scale the chart asked for. */
export interface FrameAxis {
  readonly min: number;
  readonly max: number;
  readonly ticks: readonly number[];
  /** One a tick; empty where it would touch its neighbour. */
  readonly labels: readonly string[];
  /** Where a value lies. */
  place(value: number): number;
}

export interface ChartSize {
  readonly widthPx: number;
  /** Of the lines alone; title, axes and legend come on top. */
  readonly plotHeightPx: number;
}

/** Where everything of a chart stands, in pixels from its top left corner. */
export interface ChartFrame {
  readonly widthPx: number;
  readonly heightPx: number;
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly yLabelTopPx: number;
  readonly mark: { readonly text: string; readonly centerPx: number };
  readonly plot: { readonly left: number; readonly top: number; readonly width: number; readonly height: number };
  readonly x: FrameAxis;
  readonly y: FrameAxis;
  readonly legend: readonly { readonly text: string; readonly leftPx: number; readonly topPx: number }[];
  readonly legendIconPx: number;
}

const fontPx = 12;
const plotTopPx = 54;
/** Ticks, their labels and the axis' name below the plot. */
const xAxisPx = 58;
const legendRowPx = 20;
const legendIconPx = 30;
/** Icon to text, as ECharts draws it. */
const legendIconGapPx = 5;
const legendGapPx = 22;
/** A reader's machine may have none of the fonts named, and a wider one instead. */
const fontReserve = 1.15;

/** Lays a chart out: axes and their labels, title, mark, legend in columns, as many rows as it takes. */
export function chartFrame(chart: LineChart, { widthPx, plotHeightPx }: ChartSize): ChartFrame {
  const y = yAxis(chart);
  const left = Math.ceil(Math.max(24, ...y.labels.map((label) => textWidth(label, fontPx) * fontReserve)) + 12);
  const width = widthPx - left - 20;
  const mark = 'SIMULATED';
  const markPx = textWidth(mark, 11, true) * fontReserve + 14;
  const legend = legendItems(chart, widthPx, plotTopPx + plotHeightPx + xAxisPx);
  const legendRows = new Set(legend.map(({ topPx }) => topPx)).size;
  return {
    widthPx,
    heightPx: plotTopPx + plotHeightPx + xAxisPx + legendRows * legendRowPx + 4,
    title: fitText(drawable(chart.title), 15, (widthPx - (chart.simulated ? markPx + 16 : 0)) / fontReserve, true),
    xLabel: fitText(drawable(chart.xLabel), fontPx, width / fontReserve),
    yLabel: fitText(drawable(chart.yLabel), fontPx, widthPx / fontReserve),
    yLabelTopPx: 28,
    mark: { text: mark, centerPx: Math.floor(widthPx - markPx / 2) },
    plot: { left, top: plotTopPx, width, height: plotHeightPx },
    x: xAxis(chart, width),
    y,
    legend,
    legendIconPx,
  };
}

/** Smaller than this is 0 in any unit used here. */
const negligible = 1e-12;

function yAxis(chart: LineChart): FrameAxis {
  const values = chart.series.flatMap(({ points }) => points.flatMap(({ y }) => (y === null ? [] : [y])));
  if (chart.yScale === 'log') return logAxis(chart, values);
  const lowest = values.reduce((left, value) => Math.min(left, value), 0);
  const highest = values.reduce((left, value) => Math.max(left, value), Number.NEGATIVE_INFINITY);
  const wanted = 6;
  const start = chart.yMin ?? lowest;
  const top = chart.yMax ?? (highest - start > negligible ? highest : start + 1);
  const min = chart.yMin ?? (lowest < -negligible ? -niceEnd(0, -lowest, wanted) : 0);
  const max = chart.yMax ?? niceEnd(min, top, wanted);
  const ticks = niceTicks(min, max, wanted);
  return { min, max, ticks, labels: tickLabels(ticks), place: (value) => value };
}

function logAxis(chart: LineChart, values: readonly number[]): FrameAxis {
  const lowest = values.reduce((left, value) => Math.min(left, value), Number.POSITIVE_INFINITY);
  const highest = values.reduce((left, value) => Math.max(left, value), 0);
  if (lowest <= 0) throw new Error(`"${chart.title}": y is ${lowest}, which a logarithmic axis cannot show`);
  const ticks = values.length === 0 ? [1, 10] : logTicks(lowest, highest);
  const places = ticks.map(Math.log10);
  return {
    min: places[0] ?? 0,
    max: places.at(-1) ?? 1,
    ticks: places,
    labels: valueLabels(ticks),
    place: Math.log10,
  };
}

function xAxis(chart: LineChart, widthPx: number): FrameAxis {
  const log = chart.xScale === 'log';
  const place = log ? Math.log2 : (value: number) => value;
  const drawn = chart.series.flatMap(({ points }) => points.map(({ x }) => x));
  const values = [...drawn, ...(chart.xTicks ?? []), ...(chart.xMin === undefined ? [] : [chart.xMin])];
  const lowest = values.reduce((left, value) => Math.min(left, value), Number.POSITIVE_INFINITY);
  const highest = values.reduce((left, value) => Math.max(left, value), Number.NEGATIVE_INFINITY);
  const [from, to] = lowest > highest ? [log ? 1 : 0, log ? 2 : 1] : [lowest, highest];
  if (log && !(from > 0)) throw new Error(`"${chart.title}": x is ${from}, which a logarithmic axis cannot show`);
  const padding = (place(to) - place(from)) * 0.02 || 0.5;
  const min = place(from) - padding;
  const max = place(to) + padding;
  const chosen = chart.xTicks;
  const wanted = Math.max(2, Math.floor(widthPx / 80));
  const round = log ? powers(from, to) : niceTicks(from, to, wanted, values.every(Number.isInteger));
  const ticks = [...new Set(chosen ?? round)].sort((left, right) => left - right);
  const labels = chosen === undefined && !log ? tickLabels(ticks) : valueLabels(ticks);
  const pixel = (tick: number) => ((place(tick) - min) / (max - min)) * widthPx;
  return { min, max, ticks: ticks.map(place), labels: withRoom(labels, ticks.map(pixel)), place };
}

/** Powers of two for a narrow range, of ten for a wide one. */
function powers(from: number, to: number): number[] {
  const base = to / from > 4096 ? 10 : 2;
  const ticks: number[] = [];
  for (let exponent = Math.floor(Math.log(from) / Math.log(base)); base ** exponent <= to * 1.0001; exponent++) {
    if (base ** exponent >= from * 0.9999) ticks.push(base ** exponent);
  }
  return ticks;
}

/** From left to right, only labels that leave a gap to the one before. */
function withRoom(labels: readonly string[], centres: readonly number[]): string[] {
  let free = Number.NEGATIVE_INFINITY;
  return labels.map((label, index) => {
    const centre = centres[index] ?? 0;
    const half = (textWidth(label, fontPx) * fontReserve) / 2;
    if (centre - half < free) return '';
    free = centre + half + 8;
    return label;
  });
}

function legendItems(chart: LineChart, widthPx: number, top: number): ChartFrame['legend'] {
  const roomPx = (columns: number) =>
    ((widthPx - (columns - 1) * legendGapPx) / columns - legendIconPx - legendIconGapPx) / fontReserve;
  const names = chart.series.map(({ name }) => drawable(name));
  const widest = names.reduce((left, name) => Math.max(left, textWidth(name, fontPx)), 0);
  let columns = Math.max(1, Math.min(5, names.length));
  while (columns > 1 && widest > roomPx(columns)) columns--;
  const shown = distinct(
    names.map((name) => (widest > roomPx(columns) ? fitText(name, fontPx, roomPx(1) - 40) : name)),
  );
  const columnPx = Math.min(
    (widthPx + legendGapPx) / columns,
    Math.max(...shown.map((name) => textWidth(name, fontPx) * fontReserve), 0) +
      legendIconPx +
      legendIconGapPx +
      legendGapPx,
  );
  return shown.map((text, index) => ({
    text,
    leftPx: Math.round((index % columns) * columnPx),
    topPx: top + Math.floor(index / columns) * legendRowPx,
  }));
}

/** ECharts keeps what it has measured in plain objects by text: `__proto__` or `constructor` would break them. */
function drawable(text: string): string {
  const line = oneLine(text);
  return line in {} ? `${line} ` : line;
}

/** Names that were cut to the same text get their number. */
function distinct(names: readonly string[]): string[] {
  return names.map((name, index) =>
    names.some((other, position) => other === name && position !== index) ? `${name} #${index + 1}` : name,
  );
}

import type { LineChart } from '../charts/line-chart.js';
import { formatNumber } from '../numbers.js';
import type { ReportTable } from './report-document.js';

/** A table longer than this nobody reads on a page; the data file has it. */
const maxRows = 400;

/**
 * A chart's numbers: one row an x, one column a series. Unjoined points have a row each with their label.
 * null for charts with too many points.
 */
export function valuesTable(chart: LineChart): ReportTable | null {
  const labelled = chart.series.flatMap(({ name, points, style }) =>
    style === 'points' ? points.map((point) => ({ ...point, label: point.label ?? name })) : [],
  );
  if (labelled.length > 0) {
    if (labelled.length > maxRows) return null;
    return {
      caption: chart.title,
      columns: [{ title: '', numeric: false }, number(chart.xLabel), number(chart.yLabel)],
      rows: labelled.map(({ label, x, y }) => [label, formatNumber(x), formatNumber(y)]),
    };
  }
  const places = [...new Set(chart.series.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
  if (places.length > maxRows) return null;
  const columns = chart.series.map(({ points }) => new Map(points.map(({ x, y }) => [x, y])));
  return {
    caption: `${chart.title}: ${chart.yLabel}`,
    columns: [number(chart.xLabel), ...chart.series.map(({ name }) => number(name))],
    rows: places.map((x) => [formatNumber(x), ...columns.map((values) => formatNumber(values.get(x) ?? null))]),
  };
}

function number(title: string): ReportTable['columns'][number] {
  return { title, numeric: true };
}

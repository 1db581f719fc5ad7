import { formatNumber } from '../numbers.js';
import { escapeMarkup } from '../plain-text.js';
import type { LineChart } from './line-chart.js';

/**
 * What ECharts drew, as a document of its own or inside a page: a name for screen readers, values on the points,
 * the same ids whatever was drawn before in this process.
 */
export function finishSvg(
  svg: string,
  { chart, idPrefix }: { readonly chart: LineChart; readonly idPrefix: string },
): string {
  const head = `<svg role="img" aria-label="${escapeMarkup(describeChart(chart))}" `;
  return svg
    .replace(/^<svg /, head)
    .replace(/zr\d+-/g, `${idPrefix}-`)
    .replace(
      /<path ([^>]*?)ecmeta_series_index="(\d+)" ecmeta_data_index="(\d+)" ecmeta_ssr_type="chart"([^>]*?)><\/path>/g,
      (_, before, series, point, after) => {
        const text = pointText(chart, Number(series), Number(point));
        return `<path ${before}${after}><title>${escapeMarkup(text)}</title></path>`;
      },
    )
    .replace(/ (?:ecmeta_\w+|class|pointer-events)="[^"]*"/g, '')
    .replace(/<style >.*?<\/style>\n?/s, '')
    .replace(/<rect [^>]*fill="none"><\/rect>\n/, '');
}

function describeChart(chart: LineChart): string {
  const names = chart.series.map(({ name }) => name).join(', ');
  return `${chart.simulated ? 'Simulated. ' : ''}${chart.title}: ${chart.yLabel} over ${chart.xLabel}, for ${names}`;
}

function pointText(chart: LineChart, seriesIndex: number, pointIndex: number): string {
  const series = chart.series[seriesIndex];
  const point = series?.points[pointIndex];
  if (series === undefined || point === undefined) return '';
  const values = `${chart.xLabel}: ${formatNumber(point.x)}, ${chart.yLabel}: ${formatNumber(point.y)}`;
  return `${point.label ?? series.name}. ${values}`;
}

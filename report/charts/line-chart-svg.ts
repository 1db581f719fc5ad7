import { LineChart as LineChartPart } from 'echarts/charts';
import { GridComponent, LegendPlainComponent, TitleComponent } from 'echarts/components';
import { type EChartsCoreOption, init, setPlatformAPI, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { type ChartFrame, type ChartSize, chartFrame } from './chart-frame.js';
import { type ChartSeries, type LineChart, maxSeries } from './line-chart.js';
import { chartInk, type SeriesStyle, seriesStyles } from './series-style.js';
import { finishSvg } from './svg-markup.js';
import { textWidth } from './text-width.js';
import { thinPoints } from './thin-points.js';

use([LineChartPart, GridComponent, LegendPlainComponent, TitleComponent, SVGRenderer]);
setPlatformAPI({
  measureText(text, font) {
    const size = Number(/([\d.]+)px/.exec(font ?? '')?.[1] ?? 12);
    return { width: textWidth(text, size, /bold|[6-9]00/.test(font ?? '')) };
  },
});

/** Lines with more points than this are thinned to their outline. */
const drawnPoints = 1500;
const markersPerLine = 40;

const fontFamily = 'Helvetica, Arial, Liberation Sans, sans-serif';

/**
 * The chart as an SVG element of fixed size, with a viewBox and the same bytes for the same chart: light colours,
 * text as text, a `<title>` with the values on every marked point. Heavy to load: import it where it is needed only.
 * @param idPrefix makes the ids inside unique on a page with several charts
 * @throws Error for more than 20 series
 */
export function lineChartSvg(whole: LineChart, options: ChartSize & { readonly idPrefix: string }): string {
  if (whole.series.length > maxSeries) {
    throw new Error(`"${whole.title}" has ${whole.series.length} series, more than ${maxSeries}: split it`);
  }
  const series = whole.series.map((line) => ({ ...line, points: thinPoints(line.points, drawnPoints) }));
  const chart = { ...whole, series };
  const frame = chartFrame(chart, options);
  const instance = init(null, null, { renderer: 'svg', ssr: true, width: frame.widthPx, height: frame.heightPx });
  try {
    instance.setOption(chartOption(chart, frame));
    return finishSvg(instance.renderToSVGString(), { chart, idPrefix: options.idPrefix });
  } finally {
    instance.dispose();
  }
}

function chartOption(chart: LineChart, frame: ChartFrame): EChartsCoreOption {
  const styles = seriesStyles(chart.series);
  return {
    animation: false,
    backgroundColor: 'transparent',
    textStyle: { fontFamily },
    title: titles(frame, chart.simulated),
    legend: frame.legend.map(({ text, leftPx, topPx }, index) => ({
      data: [seriesId(index)],
      formatter: () => text,
      left: leftPx,
      top: topPx,
      padding: 0,
      itemWidth: frame.legendIconPx,
      itemHeight: 10,
      selectedMode: false,
      textStyle: { color: chartInk.label.light, fontSize: 12, fontFamily },
    })),
    grid: { ...frame.plot, outerBoundsMode: 'none' },
    xAxis: {
      ...axis(frame.x),
      name: frame.xLabel,
      nameLocation: 'middle',
      nameGap: 30,
      nameTextStyle: { color: chartInk.label.light, fontSize: 12 },
      axisLine: { show: true, onZero: false, lineStyle: { color: chartInk.axis.light } },
      axisTick: { show: true, customValues: frame.x.ticks, lineStyle: { color: chartInk.axis.light } },
      splitLine: { show: false },
    },
    yAxis: {
      ...axis(frame.y),
      axisLine: { show: false },
      axisTick: { show: false, customValues: frame.y.ticks },
      splitLine: { show: true, lineStyle: { color: chartInk.grid.light } },
    },
    series: chart.series.map((series, index) => drawnSeries(series, index, { frame, style: styles[index] })),
  };
}

function titles(frame: ChartFrame, simulated: boolean): object[] {
  const text = (value: string, left: number, top: number, textStyle: object) => ({
    text: value,
    left,
    top,
    padding: 0,
    textStyle: { fontFamily, ...textStyle },
  });
  const parts = [
    text(frame.title, 0, 2, { fontSize: 15, fontWeight: 'bold', color: chartInk.title.light }),
    text(frame.yLabel, 0, frame.yLabelTopPx, { fontSize: 12, fontWeight: 'normal', color: chartInk.label.light }),
  ];
  if (!simulated) return parts;
  const { text: mark, centerPx } = frame.mark;
  const bold = { fontSize: 11, fontWeight: 'bold', color: chartInk.simulated.light };
  return [
    ...parts,
    {
      ...text(mark, centerPx, 0, bold),
      textAlign: 'center',
      padding: [4, 6],
      borderColor: chartInk.simulated.light,
      borderWidth: 1,
    },
  ];
}

function axis({ min, max, ticks, labels }: ChartFrame['x']): object {
  const textOf = new Map(ticks.map((tick, index) => [tick, labels[index] ?? '']));
  return {
    type: 'value',
    min,
    max,
    axisLabel: {
      customValues: ticks.filter((tick) => textOf.get(tick) !== ''),
      formatter: (value: number) => textOf.get(value) ?? '',
      color: chartInk.label.light,
      fontSize: 12,
      hideOverlap: false,
    },
  };
}

function drawnSeries(
  series: ChartSeries,
  index: number,
  { frame, style }: { readonly frame: ChartFrame; readonly style: SeriesStyle | undefined },
): object {
  if (style === undefined) throw new Error(`series ${index} has no style`);
  const { color, symbol, dash } = style;
  const unjoined = series.style === 'points';
  const { points } = series;
  // Lines that lie on each other show each other's markers when these do not fall on the same points.
  const stride = unjoined ? 1 : Math.max(1, Math.ceil(points.length / markersPerLine));
  const marked = (position: number) => position % stride === index % stride;
  return {
    type: 'line',
    id: seriesId(index),
    name: seriesId(index),
    data: points.map(({ x, y }, position) => ({
      value: [frame.x.place(x), y === null ? '-' : frame.y.place(y)],
      ...(marked(position) || points.length === 1 ? {} : { symbol: 'none' }),
    })),
    symbol,
    symbolSize: 7,
    showSymbol: true,
    clip: true,
    silent: true,
    lineStyle: { color, width: 1.8, type: dash ?? 'solid', opacity: unjoined ? 0 : 1 },
    itemStyle: { color, borderWidth: 1.6 },
    emphasis: { disabled: true },
  };
}

/** ECharts knows a series by its name, and takes two of the same name for one. */
function seriesId(index: number): string {
  return `series-${index}`;
}

import type { ChartSeries } from './line-chart.js';

/** How one line of a chart looks. Neighbours differ in colour, marker and, from the seventh on, in dashes. */
export interface SeriesStyle {
  readonly color: string;
  /** A symbol of ECharts; `empty...` is an outline. */
  readonly symbol: string;
  /** Lengths of dash and gap in pixels; null is a solid line. */
  readonly dash: readonly number[] | null;
}

/**
 * Six colours that differ for the common kinds of colour blindness too, each with at least 3:1 contrast on white;
 * the second of a pair is its brighter counterpart on a dark page. A test holds both against these claims.
 */
export const palette: readonly { readonly light: string; readonly dark: string }[] = [
  { light: '#0b5fa5', dark: '#5db1f2' },
  { light: '#d9540b', dark: '#ff9552' },
  { light: '#12906b', dark: '#37c99d' },
  { light: '#a2347f', dark: '#f08fd0' },
  { light: '#704c22', dark: '#e3c63f' },
  { light: '#3d434d', dark: '#c3cad5' },
];

const filled = ['circle', 'rect', 'triangle', 'diamond'];
const hollow = ['emptyCircle', 'emptyRect', 'emptyTriangle', 'emptyDiamond'];
const symbols = [...filled, ...hollow.slice(0, 3)];
const dashes: readonly (readonly number[] | null)[] = [null, [8, 4], [2, 3], [10, 3, 2, 3]];

/**
 * The styles of a chart's series. Six colours and seven markers give 42 pairs, so no two of 20 are alike; kin share
 * colour and marker, of which there are twelve pairs, and are told apart by dashes and by a hollow marker.
 */
export function seriesStyles(series: readonly Pick<ChartSeries, 'kin'>[]): readonly SeriesStyle[] {
  const kins = [...new Set(series.map(({ kin }) => kin))];
  const seen = new Map<string, number>();
  return series.map(({ kin }, index) => {
    if (kin === undefined) return styleOf(index, symbols, dashes[Math.floor(index / palette.length) % dashes.length]);
    const nth = seen.get(kin) ?? 0;
    seen.set(kin, nth + 1);
    return styleOf(kins.indexOf(kin), nth === 0 ? filled : hollow, dashes[nth % dashes.length]);
  });
}

function styleOf(index: number, markers: readonly string[], dash: readonly number[] | null | undefined): SeriesStyle {
  return {
    color: palette[index % palette.length]?.light ?? '#000000',
    symbol: markers[index % markers.length] ?? 'circle',
    dash: dash ?? null,
  };
}

/** Colours of everything but the lines, on light and on dark pages. */
export const chartInk = {
  title: { light: '#1b1f24', dark: '#edf0f4' },
  label: { light: '#4b525c', dark: '#b4bcc8' },
  grid: { light: '#e3e6ea', dark: '#343a44' },
  axis: { light: '#8b929c', dark: '#767e8a' },
  /** The page itself: what outlined markers are filled with. */
  paper: { light: '#fff', dark: '#14171b' },
  simulated: { light: '#b3261e', dark: '#ff8a80' },
} as const;

import { type Comparison, errorsOf } from '../simulator/calibration/compare.js';
import type { ComparedSet, Series } from './recorded-comparisons.js';

const BEGIN = '<!-- accuracy:begin (npm run docs:simulator) -->';
const END = '<!-- accuracy:end -->';
const GROUPS = ['TTFT', 'decode step', 'arrivals', 'long-doc QA', 'bench'] as const;
const COLOURS: Readonly<Record<Series, string>> = {
  'first machine': '#1f6feb',
  'third machine': '#8250df',
  'fourth machine': '#bf8700',
  'batch-invariant': '#c4432b',
  'mock L2': '#2c8a4b',
  'fifth: blind': '#111111',
};
const SERIES = Object.entries(COLOURS);

/** The page with its tables replaced. @throws Error when the page has no place for them. */
export function withAccuracy(page: string, tables: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`docs/simulator.md lacks "${BEGIN}" ... "${END}"`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${tables}\n\n${page.slice(end)}`;
}

/** Two Markdown tables: the errors of each kind of case, and the figures of whole rounds. */
export function renderAccuracy(data: readonly ComparedSet[]): string {
  const errors = data.flatMap((set) =>
    GROUPS.flatMap((group) => {
      const own = set.comparisons.filter((entry) => entry.group === group);
      return [...new Set(own.map((entry) => wordFor(set, entry)))].toSorted().map((word) => {
        const cases = own.filter((entry) => wordFor(set, entry) === word);
        const { median, worst } = errorsOf(cases);
        return `| ${set.title} | ${group} | ${word} | ${cases.length} | ${percent(median)} | ${percent(worst)} |`;
      });
    }),
  );
  const rounds = data.flatMap((set) =>
    set.comparisons
      .filter(({ group }) => group !== 'TTFT' && group !== 'decode step')
      .map((entry) => {
        const { group, label, predicted, measured, unit, error } = entry;
        return `| ${set.title} | ${group}: ${label} | ${wordFor(set, entry)} | ${shown(predicted)} ${unit} | ${shown(measured)} ${unit} | ${percent(error, error === predicted / measured - 1)} |`;
      }),
  );
  return [
    '| Recording | What | Used for | Cases | Median error | Worst error |',
    '|---|---|---|---|---|---|',
    ...errors,
    '',
    '| Recording | Figure | Used for | Predicted | Measured | Error |',
    '|---|---|---|---|---|---|',
    ...rounds,
  ].join('\n');
}

/** What a case was for the constants: all decode steps of the sets that are not blind were fitted on. */
function wordFor({ blind }: ComparedSet, { group, part, label }: Comparison): string {
  if (blind) return 'blind validation';
  if (group === 'decode step') return 'training';
  return label === 'lmcache, queries, TTFT' ? 'validation, in sight' : part;
}

function percent(share: number, signed = false): string {
  const text = (share * 100).toFixed(1);
  return `${signed && share >= 0 ? '+' : ''}${text === '-0.0' ? '0.0' : text} %`;
}

function shown(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(4)));
}

const WIDTH = 760;
const HEIGHT = 560;
const PLOT = { left: 70, top: 30, right: 560, bottom: 500 } as const;
const LEAST_MS = 6;
const MOST_MS = 3000;
const TICKS_MS = [10, 20, 50, 100, 200, 500, 1000, 2000];

/** Predicted over measured, both in ms on logarithmic axes, as an SVG. */
export function renderAccuracyPlot(data: readonly ComparedSet[]): string {
  const ticks = TICKS_MS.map((tick) => {
    const [x, y] = [xOf(tick), yOf(tick)];
    return [
      `<path d="M${x} ${PLOT.top}V${PLOT.bottom}M${PLOT.left} ${y}H${PLOT.right}" stroke="#e3e3e3"/>`,
      `<text x="${x}" y="${PLOT.bottom + 18}" text-anchor="middle">${tick}</text>`,
      `<text x="${PLOT.left - 8}" y="${y + 4}" text-anchor="end">${tick}</text>`,
    ].join('');
  });
  const band = (share: number, dash: string): string =>
    [1 + share, 1 / (1 + share)].map((factor) => line(factor, `stroke="#999" stroke-dasharray="${dash}"`)).join('');
  const points = data.flatMap((set) =>
    set.comparisons.filter(({ unit }) => unit !== 'tok/s').map((entry) => point(set, entry)),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12" fill="#222">`,
    '<title>Predicted against measured times</title>',
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...ticks,
    `<rect x="${PLOT.left}" y="${PLOT.top}" width="${PLOT.right - PLOT.left}" height="${PLOT.bottom - PLOT.top}" fill="none" stroke="#888"/>`,
    line(1, 'stroke="#444"'),
    band(0.05, '4 3'),
    band(0.15, '1 3'),
    ...points,
    `<text x="${(PLOT.left + PLOT.right) / 2}" y="${HEIGHT - 20}" text-anchor="middle">measured, ms</text>`,
    `<text transform="translate(20 ${(PLOT.top + PLOT.bottom) / 2}) rotate(-90)" text-anchor="middle">predicted (simulated), ms</text>`,
    ...legend(),
    '</svg>',
    '',
  ].join('\n');
}

function point(set: ComparedSet, entry: Comparison): string {
  const { group, predicted, measured, unit, label } = entry;
  const scale = unit === 's' ? 1000 : 1;
  const [x, y] = [xOf(measured * scale), yOf(predicted * scale)];
  return mark(x, y, group, COLOURS[set.series], wordFor(set, entry) === 'training', `${set.title}: ${label}`);
}

function mark(
  x: number,
  y: number,
  group: Comparison['group'],
  colour: string,
  hollow: boolean,
  label: string,
): string {
  const paint = hollow ? `fill="#fff" stroke="${colour}"` : `fill="${colour}" stroke="${colour}"`;
  const title = label === '' ? '' : `<title>${label}</title>`;
  if (group === 'TTFT') return `<circle cx="${x}" cy="${y}" r="4" ${paint}>${title}</circle>`;
  if (group === 'decode step') return `<rect x="${x - 4}" y="${y - 4}" width="8" height="8" ${paint}>${title}</rect>`;
  return `<path d="M${x} ${y - 6}L${x + 5} ${y + 4}H${x - 5}Z" ${paint}>${title}</path>`;
}

function line(factor: number, attributes: string): string {
  const from = factor >= 1 ? LEAST_MS : LEAST_MS / factor;
  const to = factor >= 1 ? MOST_MS / factor : MOST_MS;
  return `<path d="M${xOf(from)} ${yOf(from * factor)}L${xOf(to)} ${yOf(to * factor)}" fill="none" ${attributes}/>`;
}

function legend(): readonly string[] {
  const x = PLOT.right + 24;
  const row = (index: number): number => PLOT.top + 14 + index * 22;
  const text = (index: number, words: string): string => `<text x="${x + 14}" y="${row(index) + 4}">${words}</text>`;
  const grey = '#555';
  const kinds = SERIES.length + 1;
  const uses = kinds + 4;
  return [
    ...SERIES.flatMap(([name, colour], index) => [mark(x, row(index), 'TTFT', colour, false, ''), text(index, name)]),
    ...(['TTFT', 'decode step', 'long-doc QA'] as const).flatMap((group, index) => [
      mark(x, row(kinds + index), group, grey, false, ''),
      text(kinds + index, group === 'TTFT' ? 'TTFT of one prompt' : group === 'decode step' ? group : 'under load'),
    ]),
    mark(x, row(uses), 'TTFT', grey, true, ''),
    text(uses, 'hollow: fitted on'),
    mark(x, row(uses + 1), 'TTFT', grey, false, ''),
    text(uses + 1, 'filled: validation'),
    `<path d="M${x - 8} ${row(uses + 2)}h16" stroke="#999" stroke-dasharray="4 3"/>`,
    text(uses + 2, '5 % off'),
    `<path d="M${x - 8} ${row(uses + 3)}h16" stroke="#999" stroke-dasharray="1 3"/>`,
    text(uses + 3, '15 % off'),
  ];
}

function xOf(milliseconds: number): number {
  return place(milliseconds, PLOT.left, PLOT.right);
}

function yOf(milliseconds: number): number {
  return place(milliseconds, PLOT.bottom, PLOT.top);
}

function place(milliseconds: number, from: number, to: number): number {
  const share = Math.log(milliseconds / LEAST_MS) / Math.log(MOST_MS / LEAST_MS);
  return Number((from + share * (to - from)).toFixed(1));
}

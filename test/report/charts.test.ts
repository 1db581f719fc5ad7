import fc from 'fast-check';
import { XMLValidator } from 'fast-xml-parser';
import { describe, expect, it } from 'vitest';
import { chartFrame } from '../../report/charts/chart-frame.js';
import { type LineChart, maxSeries, splitChart } from '../../report/charts/line-chart.js';
import { lineChartSvg } from '../../report/charts/line-chart-svg.js';
import { chartInk, palette, seriesStyles } from '../../report/charts/series-style.js';
import { fitText, textWidth } from '../../report/charts/text-width.js';
import { thinPoints } from '../../report/charts/thin-points.js';
import { logTicks, niceEnd, niceTicks, tickLabels, valueLabels } from '../../report/charts/ticks.js';
import { colorDistance, contrast } from './color-vision.js';

const size = { widthPx: 860, plotHeightPx: 270, idPrefix: 'chart' };

function chartOf(count: number, changes: Partial<LineChart> = {}): LineChart {
  return {
    title: 'Experiment 0: TTFT',
    xLabel: 'request',
    yLabel: 'TTFT (s)',
    simulated: false,
    series: Array.from({ length: count }, (_, index) => ({
      name: `engine ${index}`,
      points: Array.from({ length: 10 }, (_unused, x) => ({ x, y: 0.2 + index * 0.1 + x * 0.01 })),
    })),
    ...changes,
  };
}

function textsOf(svg: string): string[] {
  return [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, text = '']) => text);
}

describe('ticks', () => {
  it('are round and within the range', () => {
    const range = fc.tuple(
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
      fc.double({ min: 1e-3, max: 1e6, noNaN: true }),
    );
    fc.assert(
      fc.property(range, fc.boolean(), ([min, length], whole) => {
        const ticks = niceTicks(min, min + length, 6, whole);
        const slack = length * 1e-6;
        expect(ticks.every((tick) => tick >= min - slack && tick <= min + length + slack)).toBe(true);
        expect(ticks.length).toBeLessThanOrEqual(8);
        if (whole) expect(ticks.every(Number.isInteger)).toBe(true);
        expect(niceEnd(min, min + length, 6)).toBeGreaterThanOrEqual(min + length - slack);
      }),
    );
  });

  it('have the same decimals all along an axis, chosen values as many as they need', () => {
    expect(tickLabels(niceTicks(0, 1.45, 6))).toEqual(['0.00', '0.25', '0.50', '0.75', '1.00', '1.25']);
    expect(tickLabels(niceTicks(0, 4000, 6))).toEqual(['0', '1,000', '2,000', '3,000', '4,000']);
    expect(tickLabels([0, 5e9])).toEqual(['0', '5e9']);
    expect(tickLabels([0, 2e-7])).toEqual(['0', '2e-7']);
    expect(valueLabels([0.7, 64, 1024])).toEqual(['0.7', '64', '1,024']);
  });
});

describe('text', () => {
  it('is about as wide as Helvetica, and is cut in its middle', () => {
    expect(textWidth('SIMULATED', 10)).toBeCloseTo(57.2, 0);
    expect(fitText('short', 12, 100)).toBe('short');
    const cut = fitText('/data/cw_logs_5_29_5am_6am.csv', 12, 100);
    expect(cut).toMatch(/^\/data.+….+\.csv$/);
    expect(textWidth(cut, 12)).toBeLessThanOrEqual(100);
    expect(fitText('anything', 12, 1)).toBe('…');
  });
});

describe('looks', () => {
  it('tell 20 series apart, also 12 kins of two', () => {
    const plain = seriesStyles(Array.from({ length: maxSeries }, () => ({})));
    expect(new Set(plain.map(({ color, symbol }) => `${color} ${symbol}`)).size).toBe(maxSeries);
    const kin = seriesStyles(Array.from({ length: 20 }, (_, index) => ({ kin: `${Math.floor(index / 2)} GB` })));
    expect(new Set(kin.map((style) => JSON.stringify(style))).size).toBe(20);
    expect(kin[0]?.color).toBe(kin[1]?.color);
    expect(kin[0]?.dash).not.toEqual(kin[1]?.dash);
  });

  it.each(['light', 'dark'] as const)('can be seen on a %s page', (scheme) => {
    const paper = chartInk.paper[scheme];
    for (const color of palette) expect(contrast(color[scheme], paper)).toBeGreaterThanOrEqual(3);
    for (const ink of [chartInk.title, chartInk.label, chartInk.simulated]) {
      expect(contrast(ink[scheme], paper)).toBeGreaterThanOrEqual(4.5);
    }
  });

  it.each(['normal', 'protanopia', 'deuteranopia', 'tritanopia'] as const)(
    'differ in colour with %s vision',
    (vision) => {
      for (const scheme of ['light', 'dark'] as const) {
        for (const [index, left] of palette.entries()) {
          for (const right of palette.slice(index + 1)) {
            expect(
              colorDistance(left[scheme], right[scheme], vision),
              `${left[scheme]} ${right[scheme]}`,
            ).toBeGreaterThan(10);
          }
        }
      }
    },
  );
});

describe('a line chart', () => {
  it('is well-formed and the same every time', () => {
    const svg = lineChartSvg(chartOf(3), size);
    expect(XMLValidator.validate(svg)).toBe(true);
    expect(lineChartSvg(chartOf(3), size)).toBe(svg);
    expect(svg).toContain('aria-label="Experiment 0: TTFT: TTFT (s) over request, for engine 0, engine 1, engine 2"');
    expect(svg).not.toMatch(/ecmeta|<style|zr\d/);
  });

  it('has title, axes with units, and a legend of every series', () => {
    const texts = textsOf(lineChartSvg(chartOf(20), size));
    expect(texts).toEqual(expect.arrayContaining(['Experiment 0: TTFT', 'request', 'TTFT (s)']));
    for (let index = 0; index < 20; index++) expect(texts).toContain(`engine ${index}`);
  });

  it('says that it is simulated, and only then', () => {
    expect(textsOf(lineChartSvg(chartOf(1, { simulated: true }), size))).toContain('SIMULATED');
    expect(lineChartSvg(chartOf(1), size)).not.toMatch(/simulated/i);
  });

  it('tells the value at every point', () => {
    const points = [
      { x: 64, y: 0.25, label: 'cw_64gb' },
      { x: 128, y: 1234.5 },
    ];
    const svg = lineChartSvg(chartOf(1, { series: [{ name: 'e', points }] }), size);
    expect(svg).toContain('<title>cw_64gb. request: 64, TTFT (s): 0.25</title>');
    expect(svg).toContain('<title>e. request: 128, TTFT (s): 1,235</title>');
  });

  it('interrupts a line where nothing was measured', () => {
    const points = [1, 2, null, 4, 5].map((y, x) => ({ x, y }));
    const svg = lineChartSvg(chartOf(1, { series: [{ name: 'e', points }] }), size);
    const line = /<path d="([^"]+)"[^>]*stroke="#0b5fa5" stroke-width="1.8"/.exec(svg)?.[1];
    expect(line?.match(/M/g)).toHaveLength(2);
    expect(svg.match(/<title>/g)).toHaveLength(4);
  });

  it('lets no markup of a name through', () => {
    const name = '"><script>alert(1)</script><![CDATA[\u0000\u202e&amp;';
    const chart = chartOf(1, {
      title: name,
      xLabel: name,
      yLabel: name,
      series: [{ name, points: [{ x: 1, y: 1, label: name }] }],
    });
    const svg = lineChartSvg(chart, size);
    expect(XMLValidator.validate(svg)).toBe(true);
    expect(svg).not.toMatch(/<script|<!\[CDATA|\u0000|\u202e/);
  });

  it.each(['__proto__', 'constructor', 'toString'])('draws a series called %s, and the next chart', (name) => {
    const svg = lineChartSvg(chartOf(1, { title: name, series: [{ name, points: [{ x: 1, y: 1 }] }] }), size);
    expect(textsOf(svg).map((text) => text.trim())).toContain(name);
    expect(XMLValidator.validate(svg)).toBe(true);
    expect(XMLValidator.validate(lineChartSvg(chartOf(1), size))).toBe(true);
  });

  it('takes any numbers and names', () => {
    const point = fc.record({
      x: fc.integer({ min: 0, max: 1e6 }),
      y: fc.option(fc.double({ min: -1e9, max: 1e9, noNaN: true })),
    });
    const series = fc.record({
      name: fc.string({ unit: 'binary', maxLength: 60 }),
      points: fc.array(point, { maxLength: 12 }),
    });
    fc.assert(
      fc.property(fc.array(series, { maxLength: 5 }), (all) => {
        const svg = lineChartSvg(chartOf(0, { series: all }), size);
        expect(XMLValidator.validate(svg)).toBe(true);
        expect(svg).not.toMatch(/NaN|Infinity|undefined/);
      }),
      { numRuns: 15 },
    );
  });

  it('ends its axis where it is told to', () => {
    expect(chartFrame(chartOf(1, { yMin: 0, yMax: 1.45 }), size).y).toMatchObject({ min: 0, max: 1.45 });
    expect(chartFrame(chartOf(1), size).y.min).toBe(0);
  });

  it('places swept values by how often they double', () => {
    const doubling = (from: number) => [{ name: 'e', points: [from, 128, 256].map((x) => ({ x, y: 1 })) }];
    const chosen = chartFrame(chartOf(0, { xScale: 'log', xTicks: [64, 128, 256], series: doubling(64) }), size).x;
    expect(chosen.ticks).toEqual([6, 7, 8]);
    expect(chosen.labels).toEqual(['64', '128', '256']);
    expect(chartFrame(chartOf(0, { xScale: 'log', series: doubling(1) }), size).x.labels).toContain('16');
    expect(() => chartFrame(chartOf(0, { xScale: 'log', series: doubling(0) }), size)).toThrow('x is 0');
  });

  it('shows orders of magnitude on a logarithmic axis', () => {
    const series = [{ name: 'e', points: [600, 46_000].map((y, x) => ({ x, y })) }];
    const { ticks, labels, place } = chartFrame(chartOf(0, { yScale: 'log', series }), size).y;
    expect(labels).toEqual(['500', '1,000', '2,000', '5,000', '10,000', '20,000', '50,000']);
    expect(ticks[1]).toBe(3);
    expect(place(46_000)).toBeLessThan(ticks.at(-1) ?? 0);
    expect(logTicks(1, 1)).toEqual([1, 2]);
    expect(logTicks(0.03, 4e5)).toEqual([0.01, 0.1, 1, 10, 100, 1000, 10_000, 100_000, 1_000_000]);
    const zero = [{ name: 'e', points: [{ x: 0, y: 0 }] }];
    expect(() => chartFrame(chartOf(0, { yScale: 'log', series: zero }), size)).toThrow('y is 0');
    expect(XMLValidator.validate(lineChartSvg(chartOf(0, { yScale: 'log', series }), size))).toBe(true);
  });

  it('leaves out labels that would touch', () => {
    const xTicks = Array.from({ length: 200 }, (_, index) => index);
    const { labels } = chartFrame(chartOf(1, { xTicks }), size).x;
    const shown = labels.filter((label) => label !== '');
    expect(shown.length).toBeGreaterThan(0);
    expect(shown.length).toBeLessThan(60);
  });

  it('keeps long names that differ apart', () => {
    const name = (end: string) => `${'a'.repeat(400)}${end}${'b'.repeat(400)}`;
    const series = [name('1'), name('2')].map((text) => ({ name: text, points: [] }));
    const shown = chartFrame(chartOf(0, { series }), size).legend.map(({ text }) => text);
    expect(new Set(shown).size).toBe(2);
  });

  it('refuses what nobody can tell apart; split, it is fine', () => {
    expect(() => lineChartSvg(chartOf(21), size)).toThrow('has 21 series, more than 20');
    const parts = splitChart(chartOf(45));
    expect(parts.map(({ series }) => series.length)).toEqual([15, 15, 15]);
    expect(parts[1]?.title).toBe('Experiment 0: TTFT (2 of 3)');
    expect(new Set(parts.map(({ yMax }) => yMax)).size).toBe(1);
    expect(splitChart(chartOf(20))).toHaveLength(1);
  });
});

describe('a line of very many points', () => {
  it('keeps lowest, highest and gaps', () => {
    const points = Array.from({ length: 50_000 }, (_, x) => ({
      x,
      y: x === 31_111 ? 9 : x === 40_000 ? null : x % 7 === 0 ? 1 : 2,
    }));
    const thin = thinPoints(points, 1500);
    expect(thin.length).toBeLessThanOrEqual(1600);
    expect(thin.some(({ x, y }) => x === 31_111 && y === 9)).toBe(true);
    expect(thin.some(({ y }) => y === null)).toBe(true);
    expect(thin.map(({ x }) => x)).toEqual(thin.map(({ x }) => x).sort((left, right) => left - right));
    expect(thinPoints(points.slice(0, 100), 1500)).toHaveLength(100);
  });
});

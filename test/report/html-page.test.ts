import { XMLParser } from 'fast-xml-parser';
import { describe, expect, it } from 'vitest';
import type { LineChart } from '../../report/charts/line-chart.js';
import { htmlPage } from '../../report/pages/html-page.js';
import type { ReportDocument } from '../../report/pages/report-document.js';
import { valuesTable } from '../../report/pages/values-table.js';

const evil = '</style></title><script>alert(1)</script><img src=x onerror=alert(1)>"\' onload=';
const chart: LineChart = {
  title: evil,
  xLabel: evil,
  yLabel: evil,
  simulated: true,
  series: [{ name: evil, points: [{ x: 1, y: 2, label: evil }] }],
};
const report: ReportDocument = {
  title: evil,
  lead: evil,
  simulated: 'SIMULATED: by nothing',
  facts: [{ label: evil, value: evil }],
  sections: Array.from({ length: 4 }, () => ({
    title: evil,
    paragraphs: [evil],
    charts: [chart],
    tables: [
      {
        caption: evil,
        columns: [{ title: evil, numeric: false }],
        rows: [[evil], [{ text: evil, tone: 'bad' as const, link: 'javascript:alert(1)/../a "b".log' }]],
      },
    ],
  })),
};
const page = htmlPage(report);

/** Names of all elements, and names of all attributes. */
function markup(text: string): { readonly elements: Set<string>; readonly attributes: Set<string> } {
  const parser = new XMLParser({
    preserveOrder: true,
    ignoreAttributes: false,
    unpairedTags: ['meta', 'link'],
    htmlEntities: true,
  });
  const elements = new Set<string>();
  const attributes = new Set<string>();
  const walk = (nodes: readonly Record<string, unknown>[]): void => {
    for (const node of nodes) {
      for (const [name, value] of Object.entries(node)) {
        if (name === ':@') for (const key of Object.keys(value as object)) attributes.add(key.replace('@_', ''));
        else if (Array.isArray(value)) {
          elements.add(name);
          walk(value);
        }
      }
    }
  };
  walk(parser.parse(text.replace('<!doctype html>', '')));
  return { elements, attributes };
}

describe('an HTML page', () => {
  it('lets no element and no handler of a name through', () => {
    const { elements, attributes } = markup(page);
    expect([...elements].filter((name) => ['script', 'img', 'iframe', 'object'].includes(name))).toEqual([]);
    expect([...attributes].filter((name) => name.startsWith('on'))).toEqual([]);
    expect(elements.has('svg')).toBe(true);
  });

  it('takes nothing from the network and runs nothing', () => {
    expect(page).toContain(`default-src 'none'; style-src 'unsafe-inline'`);
    const { attributes } = markup(page);
    expect(attributes.has('src')).toBe(false);
    for (const [, to] of page.matchAll(/(?:href|xlink:href)="([^"]*)"/g))
      expect(to).toMatch(/^(#section-\d+|data:,|\.\/.*)$/);
    expect(page).toContain('href="./javascript%3Aalert(1)/../a%20%22b%22.log"');
  });

  it('has unique ids, its language, a title and headings', () => {
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, id] of page.matchAll(/url\(#([^)]+)\)|aria-labelledby="([^"]+)"/g)) if (id) expect(ids).toContain(id);
    expect(page).toContain('<html lang="en">');
    expect(page.match(/<h1>/g)).toHaveLength(1);
    expect(page).toContain('(SIMULATED)</title>');
    expect(page).toContain('<p class="simulated" role="note">SIMULATED: by nothing</p>');
  });

  it('is the same every time', () => {
    expect(htmlPage(report)).toBe(page);
  });

  it('has the values of a chart as a table, too', () => {
    const lines = { ...chart, title: 'T', xLabel: 'x', yLabel: 'y', series: [] };
    const a = { name: 'a', points: [1, 2].map((x) => ({ x, y: x * 10 })) };
    const b = { name: 'b', points: [{ x: 2, y: null }] };
    expect(valuesTable({ ...lines, series: [a, b] })?.rows).toEqual([
      ['1', '10', '-'],
      ['2', '20', '-'],
    ]);
    const cloud = { name: 'c', style: 'points' as const, points: [{ x: 1, y: 2, label: 'one' }] };
    expect(valuesTable({ ...lines, series: [cloud, a] })?.rows).toEqual([['one', '1', '2']]);
    const long = { name: 'l', points: Array.from({ length: 500 }, (_, x) => ({ x, y: 1 })) };
    expect(valuesTable({ ...lines, series: [long] })).toBeNull();
  });
});

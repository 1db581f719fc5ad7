import { type LineChart, splitChart } from '../charts/line-chart.js';
import { lineChartSvg } from '../charts/line-chart-svg.js';
import { escapeMarkup } from '../plain-text.js';
import { htmlStyle } from './html-style.js';
import {
  cellText,
  type ReportDocument,
  type ReportSection,
  type ReportTable,
  type TableCell,
} from './report-document.js';
import { valuesTable } from './values-table.js';

const chartSize = { widthPx: 860, plotHeightPx: 270 };

/**
 * The report as one HTML file without scripts and without the network: its security policy allows neither, whatever
 * the names in it contain. Light or dark as the reader's system is; the values of every chart also as a table.
 */
export function htmlPage(report: ReportDocument): string {
  let charts = 0;
  const figure = (chart: LineChart): string => {
    charts += 1;
    return chartFigure(chart, `chart-${charts}`);
  };
  const body = report.sections.map((section, index) => sectionHtml(section, `section-${index + 1}`, figure)).join('\n');
  const simulated =
    report.simulated === null ? '' : `<p class="simulated" role="note">${escapeMarkup(report.simulated)}</p>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="lmcache-ci">
<link rel="icon" href="data:,">
<title>${escapeMarkup(report.title)}${report.simulated === null ? '' : ' (SIMULATED)'}</title>
<style>${htmlStyle()}</style>
</head>
<body>
<header>
<h1>${escapeMarkup(report.title)}</h1>
${simulated}
<p class="lead">${escapeMarkup(report.lead)}</p>
${factsHtml(report)}
</header>
${contents(report.sections)}
<main>
${body}
</main>
</body>
</html>
`;
}

function factsHtml({ facts }: ReportDocument): string {
  if (facts.length === 0) return '';
  const rows = facts.map(({ label, value }) => `<dt>${escapeMarkup(label)}</dt><dd>${escapeMarkup(value)}</dd>`);
  return `<dl>${rows.join('')}</dl>`;
}

function contents(sections: readonly ReportSection[]): string {
  if (sections.length < 4) return '';
  const items = sections.map(
    ({ title }, index) => `<li><a href="#section-${index + 1}">${escapeMarkup(title)}</a></li>`,
  );
  return `<nav aria-label="Contents"><ul>${items.join('')}</ul></nav>`;
}

function sectionHtml(section: ReportSection, id: string, figure: (chart: LineChart) => string): string {
  return [
    `<section id="${id}" aria-labelledby="${id}-title">`,
    `<h2 id="${id}-title">${escapeMarkup(section.title)}</h2>`,
    ...section.paragraphs.map((text) => `<p>${escapeMarkup(text)}</p>`),
    ...section.charts.flatMap(splitChart).map(figure),
    ...section.tables.map(tableHtml),
    '</section>',
  ].join('\n');
}

function chartFigure(chart: LineChart, id: string): string {
  const values = valuesTable(chart);
  return [
    '<figure>',
    // Wider than a phone: it scrolls there, and the keyboard has to reach what scrolls.
    `<div class="scroll" tabindex="0" role="group" aria-label="${escapeMarkup(chart.title)}">`,
    lineChartSvg(chart, { ...chartSize, idPrefix: id }),
    '</div>',
    ...(values === null ? [] : [`<details><summary>Values</summary>${tableHtml(values)}</details>`]),
    '</figure>',
  ].join('\n');
}

function tableHtml(table: ReportTable): string {
  const attributes = table.columns.map(({ numeric }) => (numeric ? ' class="number"' : ''));
  const head = table.columns.map(
    ({ title }, index) => `<th scope="col"${attributes[index]}>${escapeMarkup(title)}</th>`,
  );
  const rows = table.rows.map(
    (row) => `<tr>${row.map((cell, index) => `<td${attributes[index] ?? ''}>${cellHtml(cell)}</td>`).join('')}</tr>`,
  );
  return [
    `<div class="scroll" tabindex="0" role="group" aria-label="${escapeMarkup(table.caption)}"><table>`,
    `<caption>${escapeMarkup(table.caption)}</caption>`,
    `<thead><tr>${head.join('')}</tr></thead>`,
    `<tbody>${rows.join('\n')}</tbody>`,
    '</table></div>',
  ].join('\n');
}

function cellHtml(cell: TableCell): string {
  const text = escapeMarkup(cellText(cell));
  if (typeof cell === 'string') return text;
  const toned = cell.tone === undefined ? text : `<span class="${cell.tone}">${text}</span>`;
  return cell.link === undefined ? toned : `<a href="${escapeMarkup(relativeLink(cell.link))}">${toned}</a>`;
}

/** A path and nothing else: every part encoded, so that `javascript:` is a strange file name. */
function relativeLink(path: string): string {
  return `./${path.split('/').map(encodeURIComponent).join('/')}`;
}

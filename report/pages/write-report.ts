import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { makeFolder } from '../../results-schema/make-folder.js';
import { writeWhole } from '../../results-schema/whole-file.js';
import { splitChart } from '../charts/line-chart.js';
import type { ReportDocument } from './report-document.js';

export const reportFormats = ['pdf', 'svg', 'html'] as const;
export type ReportFormat = (typeof reportFormats)[number];

/** Of a chart that stands alone. */
const chartSize = { widthPx: 860, plotHeightPx: 270 };

/**
 * Writes a report as `<base>.pdf`, `<base>.html`, and each chart as `<base>-charts/<nn>-<title>.svg`, each whole or
 * not at all. Loads what draws only now.
 * @param base directory and file name without an ending
 * @returns the files written, in the order of the formats
 */
export async function writeReport(
  report: ReportDocument,
  base: string,
  formats: readonly ReportFormat[],
): Promise<readonly string[]> {
  const files: string[] = [];
  makeFolder(path.dirname(base));
  for (const format of reportFormats.filter((known) => formats.includes(known))) {
    if (format === 'pdf') {
      const { pdfDocument } = await import('./pdf-document.js');
      files.push(await writeWhole(`${base}.pdf`, await pdfDocument(report, new Date())));
    } else if (format === 'html') {
      const { htmlPage } = await import('./html-page.js');
      files.push(await writeWhole(`${base}.html`, htmlPage(report)));
    } else files.push(...(await writeCharts(report, `${base}-charts`)));
  }
  return files;
}

async function writeCharts(report: ReportDocument, directory: string): Promise<string[]> {
  const { lineChartSvg } = await import('../charts/line-chart-svg.js');
  const charts = report.sections.flatMap((section) => section.charts).flatMap(splitChart);
  // Charts of a former report, of which there may have been more, must not look like this one's.
  makeFolder(directory);
  const former = (await readdir(directory)).filter((name) => /^\d+-[a-z0-9-]+\.svg$/.test(name));
  await Promise.all(former.map((name) => rm(path.join(directory, name))));
  const digits = String(charts.length).length;
  const files: string[] = [];
  for (const [index, chart] of charts.entries()) {
    const name = `${String(index + 1).padStart(digits, '0')}-${slug(chart.title)}.svg`;
    files.push(await writeWhole(path.join(directory, name), lineChartSvg(chart, { ...chartSize, idPrefix: 'chart' })));
  }
  return files;
}

function slug(title: string): string {
  return (
    title
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '')
      .slice(0, 80) || 'chart'
  );
}

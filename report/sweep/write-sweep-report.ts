import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { type SweepSummary, sweepSummarySchema } from '../../results-schema/sweep-summary.js';
import { writeWhole } from '../../results-schema/whole-file.js';
import { type ReportFormat, reportFormats, writeReport } from '../pages/write-report.js';
import { sweepReport } from './sweep-report.js';

export const sweepReportFormats = [...reportFormats, 'csv'] as const;

export interface SweepReportOptions {
  /** @default html, csv and pdf */
  readonly formats?: readonly (ReportFormat | 'csv')[];
  /** Links to logs only work from there. @default where the summary lies */
  readonly outputDirectory?: string;
}

/**
 * Makes the report of a sweep from its summary.json: `report.html`, `report.csv`, `report.pdf`, and on request each
 * chart as `report-charts/*.svg`.
 * @returns the files written
 * @throws Error where the summary cannot be read, with every fault in it
 */
export async function writeSweepReport(
  summaryPath: string,
  options: SweepReportOptions = {},
): Promise<readonly string[]> {
  const formats = options.formats ?? ['html', 'csv', 'pdf'];
  const summary = await readSummary(summaryPath);
  const base = path.join(options.outputDirectory ?? path.dirname(summaryPath), 'report');
  const files = await writeReport(
    sweepReport(summary),
    base,
    reportFormats.filter((format) => formats.includes(format)),
  );
  if (!formats.includes('csv')) return files;
  const { sweepCsv } = await import('./sweep-csv.js');
  return [...files, await writeWhole(`${base}.csv`, sweepCsv(summary))];
}

async function readSummary(summaryPath: string): Promise<SweepSummary> {
  const text = await readFile(summaryPath, 'utf8');
  try {
    return sweepSummarySchema.parse(JSON.parse(text));
  } catch (error) {
    const what = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new Error(`"${summaryPath}" is not the summary of a sweep: ${what}`, { cause: error });
  }
}

import path from 'node:path';
import { readRun } from '../../results-schema/read-run.js';
import { writeWhole } from '../../results-schema/whole-file.js';
import { reportFormats, writeReport } from '../pages/write-report.js';
import { renderSummary } from '../summary-markdown.js';
import { junitXml } from './junit.js';
import { readLatencies } from './measured-latencies.js';
import { runReport } from './run-report.js';

export const runReportFormats = [...reportFormats, 'md', 'junit'] as const;
export type RunReportFormat = (typeof runReportFormats)[number];

/**
 * Makes the report of a run's results directory: `report.html`, `report.pdf`, `report-charts/*.svg`, `report.md`,
 * `report.junit.xml`, as asked for.
 * @param base directory and file name without an ending; links to logs only work from the results directory
 * @returns the files written, or null where the directory holds no readable run.json
 */
export async function writeRunReport(
  root: string,
  formats: readonly RunReportFormat[],
  base = path.join(root, 'report'),
): Promise<readonly string[] | null> {
  const { record: run, problems } = await readRun(root);
  if (run === null) return null;
  const latencies = await readLatencies(root);
  const report = runReport({ run, latencies: latencies.compared, problems: [...problems, ...latencies.problems] });
  const drawn = reportFormats.filter((format) => formats.includes(format));
  const files = [...(await writeReport(report, base, drawn))];
  if (formats.includes('md')) {
    files.push(await writeWhole(`${base}.md`, renderSummary(run, { resultsDirectory: root, logs: [] })));
  }
  if (formats.includes('junit')) files.push(await writeWhole(`${base}.junit.xml`, junitXml(run)));
  return files;
}

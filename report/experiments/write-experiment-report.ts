import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { ExperimentCsvError, parseExperimentCsv } from '../../results-schema/experiment-csv.js';
import { type ExperimentNotes, experimentNotesSchema } from '../../results-schema/experiment-notes.js';
import { type ReportFormat, reportFormats, writeReport } from '../pages/write-report.js';
import { experimentReport } from './experiment-report.js';

export interface ExperimentReportOptions {
  /** @default pdf, svg and html */
  readonly formats?: readonly ReportFormat[];
  /** @default where the CSV lies */
  readonly outputDirectory?: string;
  /** @default `{name}.json` beside the CSV, where there is one */
  readonly notes?: ExperimentNotes;
}

/**
 * Makes the report of a test function's CSV: `{name}.pdf`, `{name}.html` and `{name}-charts/*.svg`.
 * @returns the files written, and what a reader should know (a cut-off last line)
 * @throws ExperimentCsvError with everything that is wrong with the file
 */
export async function writeExperimentReport(
  csvPath: string,
  options: ExperimentReportOptions = {},
): Promise<{ readonly files: readonly string[]; readonly notes: readonly string[] }> {
  const name = path.basename(csvPath).replace(/\.csv$/i, '');
  const csv = parseExperimentCsv(await readCsv(csvPath), csvPath);
  const notes = options.notes ?? (await readNotes(csvPath.replace(/(\.csv)?$/i, '.json')));
  const base = path.join(options.outputDirectory ?? path.dirname(csvPath), name);
  const files = await writeReport(experimentReport(name, csv, notes), base, options.formats ?? reportFormats);
  return { files, notes: csv.notes };
}

async function readCsv(csvPath: string): Promise<string> {
  try {
    return await readFile(csvPath, 'utf8');
  } catch (error) {
    throw new ExperimentCsvError(
      `"${csvPath}" cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** Notes that are there but cannot be read must not pass for a run on real hardware. */
async function readNotes(notesPath: string): Promise<ExperimentNotes | null> {
  const text = await readFile(notesPath, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return null;
  try {
    return experimentNotesSchema.parse(JSON.parse(text));
  } catch (error) {
    const what = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new ExperimentCsvError(`"${notesPath}", the notes beside the CSV, cannot be read: ${what}`);
  }
}

import { parse } from 'csv-parse/sync';
import { z } from 'zod';

/** The columns of an experiments' CSV, in their order; readers by name, pandas for one, may find more after them. */
export const experimentCsvColumns = [
  'expr_id',
  'timestamp',
  'engine_id',
  'request_id',
  'TTFT',
  'throughput',
  'context_len',
  'query_len',
  'gpu_memory',
] as const;

const wholeNumber = z
  .string()
  .regex(/^\d{1,15}(\.0+)?$/, 'is not a whole number')
  .transform(Number);
const plainNumber = z
  .string()
  .regex(/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i, 'is not a number')
  .transform(Number);
/** Empty, NaN and negative: the request failed. */
const measured = z
  .union(
    [
      z
        .string()
        .regex(/^(nan|none|null|)$/i)
        .transform(() => null),
      plainNumber,
    ],
    'is not a number',
  )
  .transform((value) => (value === null || value < 0 ? null : value));

const gpuMemory = z.string().transform((text, context): Readonly<Record<string, number>> => {
  if (text === '') return {};
  try {
    return z.record(z.string(), z.number().nonnegative()).parse(JSON.parse(text));
  } catch {
    context.addIssue({ code: 'custom', message: 'is not JSON of the form {"gpu-0": MiB}' });
    return z.NEVER;
  }
});

/** One request. */
export const experimentRowSchema = z.object({
  expr_id: wholeNumber,
  /** Seconds after the workload's start at which the request was to be sent. */
  timestamp: plainNumber,
  engine_id: wholeNumber,
  request_id: wholeNumber,
  /** Seconds; null: the request failed. */
  TTFT: measured,
  /** Generated tokens a second of this request; null: it failed. */
  throughput: measured,
  /** Tokens. */
  context_len: plainNumber,
  query_len: plainNumber,
  /** Used MiB of each GPU, before the experiment's engines were closed. */
  gpu_memory: gpuMemory,
  /** Seconds until the last token, in files with extra columns. */
  latency: measured.optional(),
});
export type ExperimentRow = z.infer<typeof experimentRowSchema>;

export interface ParsedExperimentCsv {
  readonly rows: readonly ExperimentRow[];
  /** What a reader should know: a last line that was cut off when the run was killed. */
  readonly notes: readonly string[];
}

/** A file that is not an experiments' CSV; every fault with its line and column. */
export class ExperimentCsvError extends Error {
  override readonly name = 'ExperimentCsvError';
}

const shownFaults = 10;

/**
 * Reads the CSV of a test function. A cut-off last line of a killed run is left out and noted.
 * @param source the file's name, for messages
 * @throws ExperimentCsvError where columns are missing or values are not what they should be
 */
export function parseExperimentCsv(text: string, source: string): ParsedExperimentCsv {
  const { records, unterminated } = readRecords(text, source);
  const [head, ...lines] = records;
  if (head === undefined) throw new ExperimentCsvError(`"${source}" is empty: it has not even a line of column names.`);
  const missing = experimentCsvColumns.filter((column) => !head.cells.includes(column));
  if (missing.length > 0) {
    throw new ExperimentCsvError(
      `"${source}" line 1: ${missing.map((column) => `column "${column}"`).join(', ')} missing; ` +
        `the columns are "${head.cells.join(',')}". Is it the CSV of a test function?`,
    );
  }
  const rows: ExperimentRow[] = [];
  const faults: string[] = [];
  for (const { cells, line } of lines) {
    const read = readRow(cells, head.cells);
    if ('row' in read) rows.push(read.row);
    else faults.push(...read.faults.map((fault) => `line ${line}${fault}`));
  }
  if (faults.length > 0) {
    const more = faults.length > shownFaults ? [`... and ${faults.length - shownFaults} more`] : [];
    throw new ExperimentCsvError(
      [`"${source}" cannot be read:`, ...[...faults.slice(0, shownFaults), ...more].map((fault) => `  ${fault}`)].join(
        '\n',
      ),
    );
  }
  if (unterminated === null) return { rows, notes: [] };
  // Only a killed writer, or somebody's editor, leaves a last line without its newline.
  const last = readRow(unterminated.cells, head.cells);
  if ('row' in last && unterminated.cells.at(-1) !== '') return { rows: [...rows, last.row], notes: [] };
  const note = `"${source}" line ${unterminated.line} is cut off and was left out: the run that wrote it was killed.`;
  return { rows, notes: [note] };
}

function readRow(
  cells: readonly string[],
  columns: readonly string[],
): { readonly row: ExperimentRow } | { readonly faults: readonly string[] } {
  if (cells.length !== columns.length) return { faults: [`: ${cells.length} values instead of ${columns.length}`] };
  const parsed = experimentRowSchema.safeParse(Object.fromEntries(columns.map((name, at) => [name, cells[at]])));
  if (parsed.success) return { row: parsed.data };
  return {
    faults: parsed.error.issues.map(({ path, message }) => {
      const column = String(path[0]);
      return `, column "${column}": "${cells[columns.indexOf(column)]}" ${message}`;
    }),
  };
}

interface CsvRecord {
  readonly cells: readonly string[];
  readonly line: number;
}

/** All whole lines, and what comes after the last newline. */
function readRecords(
  text: string,
  source: string,
): { readonly records: readonly CsvRecord[]; readonly unterminated: CsvRecord | null } {
  const end = text.lastIndexOf('\n') + 1;
  const rest = text.slice(end);
  if (end === 0) return { records: csvRecords(rest, source), unterminated: null };
  const records = csvRecords(text.slice(0, end), source);
  if (rest.trim() === '') return { records, unterminated: null };
  const line = text.slice(0, end).split('\n').length;
  return { records, unterminated: { cells: tryRecords(rest, source)?.[0]?.cells ?? [], line } };
}

function tryRecords(text: string, source: string): CsvRecord[] | null {
  try {
    return csvRecords(text, source);
  } catch {
    return null;
  }
}

function csvRecords(text: string, source: string): CsvRecord[] {
  try {
    const records = parse(text, { bom: true, info: true, relax_column_count: true, skip_empty_lines: true });
    return z
      .array(z.object({ record: z.array(z.string()), info: z.object({ lines: z.number() }) }))
      .parse(records)
      .map(({ record, info }) => ({ cells: record, line: info.lines }));
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new ExperimentCsvError(`"${source}" is not a CSV file: ${what}`);
  }
}

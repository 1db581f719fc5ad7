import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { experimentCsvColumns } from '../../results-schema/experiment-csv.js';
import { namingFile } from '../../results-schema/file-trouble.js';
import { pythonFloat } from '../../workloads/python-format.js';

/** One request, as the CSV has it. */
export interface ResultRow {
  /** Position of the experiment in its test function. */
  readonly experimentId: number;
  /** Seconds: when the workload wanted it sent. */
  readonly timestamp: number;
  readonly engineId: number;
  readonly requestId: number;
  /** Seconds; null where it failed. */
  readonly ttft: number | null;
  /** Output tokens a second after the first token; null where it failed or generated less than two tokens. */
  readonly throughput: number | null;
  /** Tokens. */
  readonly contextLength: number;
  readonly queryLength: number;
  /** MiB by `gpu-0`, `gpu-1`, ... */
  readonly gpuMemory: Readonly<Record<string, number>>;
  /** Seconds until the answer was complete; null where it failed. */
  readonly latency: number | null;
}

/**
 * The CSV of a test function, written row by row as pandas would write it: what has been measured is in the file whatever
 * happens next.
 */
export class ResultsCsv {
  readonly #path: string;
  readonly #file: number;
  readonly #withLatency: boolean;
  #bytes = 0;

  /** Replaces what is there. @throws the file system's error. */
  constructor(path: string, options: { readonly extraColumns: boolean }) {
    this.#path = path;
    this.#file = openSync(path, 'w');
    this.#withLatency = options.extraColumns;
    this.#write(lineOf(options.extraColumns ? [...experimentCsvColumns, 'latency'] : experimentCsvColumns));
  }

  add(row: ResultRow): void {
    this.#write(this.#line(row));
  }

  /** Puts rows in the place of all that were added since the file had this length. */
  replaceSince(length: number, rows: readonly ResultRow[]): void {
    this.#bytes = length;
    this.#write(rows.map((row) => this.#line(row)).join(''));
    ftruncateSync(this.#file, this.#bytes);
  }

  #line(row: ResultRow): string {
    return lineOf([
      String(row.experimentId),
      pythonFloat(row.timestamp),
      String(row.engineId),
      String(row.requestId),
      number(row.ttft),
      number(row.throughput),
      String(row.contextLength),
      String(row.queryLength),
      quoted(pythonJson(row.gpuMemory)),
      ...(this.#withLatency ? [number(row.latency)] : []),
    ]);
  }

  /** Bytes written so far: where `cutTo` and `replaceSince` can begin. */
  get length(): number {
    return this.#bytes;
  }

  /** Takes back the rows of a measurement that does not count. */
  cutTo(length: number): void {
    ftruncateSync(this.#file, length);
    this.#bytes = length;
  }

  close(): void {
    closeSync(this.#file);
  }

  /** Whole lines in one call: nobody ever reads half of one. */
  #write(lines: string): void {
    try {
      this.#bytes += writeSync(this.#file, lines, this.#bytes);
    } catch (error) {
      throw namingFile(error, this.#path);
    }
  }
}

function lineOf(cells: readonly string[]): string {
  return `${cells.join(',')}\n`;
}

/** What was not measured is empty, which pandas reads as NaN. */
function number(value: number | null): string {
  return value === null ? '' : pythonFloat(value);
}

/** As `json.dumps` writes it, with a blank after colons and commas. */
function pythonJson(memory: Readonly<Record<string, number>>): string {
  return `{${Object.entries(memory)
    .map(([name, value]) => `${JSON.stringify(name)}: ${value}`)
    .join(', ')}}`;
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}

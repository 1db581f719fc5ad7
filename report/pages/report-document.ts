import type { LineChart } from '../charts/line-chart.js';

/** A report as data: what it says, in which order. HTML and PDF are made from the same. */
export interface ReportDocument {
  readonly title: string;
  /** What a reader should know first, in a sentence or two. */
  readonly lead: string;
  /** How the numbers were simulated, to stand at the top of every page; null on real hardware. */
  readonly simulated: string | null;
  readonly facts: readonly Fact[];
  readonly sections: readonly ReportSection[];
}

export interface Fact {
  readonly label: string;
  readonly value: string;
}

export interface ReportSection {
  readonly title: string;
  readonly paragraphs: readonly string[];
  readonly charts: readonly LineChart[];
  readonly tables: readonly ReportTable[];
  /** Starts on a new page of the PDF. @default false */
  readonly newPage?: boolean;
}

export interface ReportTable {
  readonly caption: string;
  /** Unit included: `TTFT (s)`. Numbers stand to the right. */
  readonly columns: readonly { readonly title: string; readonly numeric: boolean }[];
  readonly rows: readonly (readonly TableCell[])[];
}

/** Text, or text with a meaning or a place to go to. */
export type TableCell =
  | string
  | {
      readonly text: string;
      readonly tone?: 'good' | 'bad' | 'doubtful';
      /** A relative path, from where the report lies. */
      readonly link?: string;
    };

export function cellText(cell: TableCell): string {
  return typeof cell === 'string' ? cell : cell.text;
}

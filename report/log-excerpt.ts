import { painter } from './colors.js';
import type { TextOptions } from './verdict-table.js';

/** The end of an engine's log, as it is shown beside a failure. */
export interface LogExcerpt {
  /** Path to open for the rest. */
  readonly path: string;
  /** At most 50, newest last. */
  readonly lines: readonly string[];
  /** Requests answered as they should be: their lines would crowd out what the engine says, and are left out. */
  readonly answeredRequests: number;
}

const shownLines = 50;
/** Uvicorn's access log: `INFO: 127.0.0.1:46030 - "POST /v1/chat/completions HTTP/1.1" 200 OK`. */
const answeredRequest = /- "[A-Z]+ \S+ HTTP\/1\.\d" 2\d\d\b/;

/** @param tail last lines of the log at `path`, newest last; rather too many than too few */
export function excerptOf(path: string, tail: readonly string[]): LogExcerpt {
  const telling = tail.filter((line) => !answeredRequest.test(line));
  return { path, lines: telling.slice(-shownLines), answeredRequests: tail.length - telling.length };
}

/** `last 50 lines, without 941 requests that were answered` */
export function describeExcerpt({ lines, answeredRequests }: LogExcerpt): string {
  const left = answeredRequests === 0 ? '' : `, without ${counted(answeredRequests, 'answered request')}`;
  return lines.length === 0 && left === '' ? 'empty' : `last ${counted(lines.length, 'line')}${left}`;
}

/** An excerpt for a terminal. No newline at the end. */
export function renderLog(excerpt: LogExcerpt, { color }: TextOptions): string {
  const paint = painter(color);
  const heading = paint.bold(`${excerpt.path} (${describeExcerpt(excerpt)})`);
  return [heading, ...excerpt.lines.map((line) => paint.dim(`  | ${line}`))].join('\n');
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

import { isColumnar } from './columnar-format.js';
import { CsvTrace } from './conversation-csv.js';
import { csvColumnNames, csvLayout, isCsvTraceHeader } from './csv-columns.js';
import { CsvScanner } from './csv-scanner.js';
import { fileStart } from './file-chunks.js';
import { MooncakeTrace } from './mooncake-jsonl.js';
import { ServerLogTrace } from './server-log.js';
import { ShareGptTrace } from './sharegpt-json.js';
import { type Trace, TraceFileError, type TraceFormat, type TraceReadOptions } from './trace.js';

const START_BYTES = 64 * 1024;

/**
 * Opens a trace file of any known form.
 * @throws TraceFileError when it cannot be read, or its form cannot be told
 */
export async function openTrace(path: string, options: TraceReadOptions = {}): Promise<Trace> {
  const format = options.format ?? (await detectTraceFormat(path));
  switch (format) {
    case 'conversation-csv':
    case 'azure-csv':
      return new CsvTrace(path, format, options);
    case 'mooncake':
      return new MooncakeTrace(path, options);
    case 'sharegpt':
      return new ShareGptTrace(path, options);
    case 'server-log':
      return new ServerLogTrace(path);
  }
}

/** Told by the first bytes, never by the name. @throws TraceFileError when it is none of them */
export async function detectTraceFormat(path: string): Promise<TraceFormat> {
  const start = await fileStart(path, START_BYTES);
  if (isColumnar(start)) {
    throw new TraceFileError(path, 'is in columns already: only cache-simulation reads those, as they are');
  }
  const text = start
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trimStart();
  if (text === '') {
    throw new TraceFileError(path, 'is empty');
  }
  if (text.startsWith('[') && /^\[\s*(\{|\]|$)/.test(text)) {
    return 'sharegpt';
  }
  if (text.startsWith('{')) {
    return 'mooncake';
  }
  const header = firstRecord(path, start);
  if (header !== null && isCsvTraceHeader(header)) {
    return csvLayout(path, header, 1).conversation === undefined ? 'azure-csv' : 'conversation-csv';
  }
  if (/LMCache|vllm|\bINFO\b|conversation=\d+ turn=\d+/i.test(text)) {
    return 'server-log';
  }
  const names = [csvColumnNames.time[0], csvColumnNames.conversation[0], csvColumnNames.inputTokens[0]].join(',');
  throw new TraceFileError(
    path,
    `is no trace that is known: neither CSV with a header such as ${names},..., nor Mooncake's JSONL, nor ShareGPT's JSON, nor a server log. Name its form, if it is one`,
  );
}

function firstRecord(path: string, start: Buffer): readonly string[] | null {
  let fields: readonly string[] | null = null;
  try {
    new CsvScanner(path).push(start, true, (record) => {
      fields ??= Array.from({ length: record.fieldCount }, (_, field) => record.text(field));
    });
  } catch {
    // What follows the header is cut off somewhere.
  }
  return fields;
}

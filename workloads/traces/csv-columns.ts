import { quoted, TraceFileError } from './trace.js';

export type CsvColumn = 'time' | 'conversation' | 'turn' | 'inputTokens' | 'outputTokens' | 'inputText' | 'outputText';

/**
 * What a column may be called; case, `@`, `_`, `-`, `.` and blanks do not count. The first name of each is that of the
 * data sets of the original cache benchmark runner, but for `turn` and the texts, which those do not have.
 */
export const csvColumnNames: Readonly<Record<CsvColumn, readonly string[]>> = {
  time: [
    '@timestamp',
    'timestamp',
    'time',
    'arrival_time',
    'arrived_at',
    'request_time',
    'start_time',
    'datetime',
    'ts',
  ],
  conversation: [
    'ConversationId',
    'conversation',
    'conv_id',
    'conv',
    'session_id',
    'session',
    'chat_id',
    'dialog_id',
    'thread_id',
  ],
  turn: ['turn', 'turn_id', 'turn_number', 'turn_index', 'turn_no', 'round'],
  inputTokens: [
    'CustomerQueryLength',
    'query_length',
    'query_tokens',
    'input_tokens',
    'input_length',
    'input_len',
    'prompt_tokens',
    'prompt_length',
    'prompt_len',
    'request_tokens',
    'ContextTokens',
  ],
  outputTokens: [
    'GenerativeModelResponseLength',
    'response_length',
    'response_tokens',
    'output_tokens',
    'output_length',
    'output_len',
    'completion_tokens',
    'answer_tokens',
    'GeneratedTokens',
  ],
  inputText: ['CustomerQuery', 'query', 'question', 'prompt', 'input', 'user', 'human', 'text'],
  outputText: ['GenerativeModelResponse', 'response', 'answer', 'output', 'completion', 'assistant', 'gpt'],
};

const plain = (name: string): string => name.toLowerCase().replaceAll(/[@_\-. ]/g, '');
const columnOf = new Map(
  Object.entries(csvColumnNames).flatMap(([column, names]) => names.map((name) => [plain(name), column as CsvColumn])),
);

/** Which field each known column is in. */
export type CsvLayout = Readonly<Partial<Record<CsvColumn, number>>>;

/** @throws TraceFileError where two columns mean the same, or one that is needed is missing */
export function csvLayout(path: string, header: readonly string[], line: number): CsvLayout {
  const layout: Partial<Record<CsvColumn, number>> = {};
  for (const [field, name] of header.entries()) {
    const column = columnOf.get(plain(name));
    if (column === undefined) {
      continue;
    }
    const other = layout[column];
    if (other !== undefined) {
      throw new TraceFileError(path, `means the same as column ${quoted(header[other] ?? '')}: keep one`, {
        line,
        column: name,
      });
    }
    layout[column] = field;
  }
  const missing = [
    ...(layout.time === undefined ? [describeMissing('the time', 'time')] : []),
    ...(layout.inputTokens === undefined && layout.inputText === undefined
      ? [describeMissing('the length of the question', 'inputTokens')]
      : []),
  ];
  if (missing.length > 0) {
    const there = header.map((name) => quoted(name)).join(', ');
    throw new TraceFileError(path, `${missing.join('; ')}. The header has ${there}`, { line });
  }
  return layout;
}

/** Whether a header is that of a trace. */
export function isCsvTraceHeader(header: readonly string[]): boolean {
  const known = new Set(header.map((name) => columnOf.get(plain(name))));
  return known.has('time') && (known.has('inputTokens') || known.has('inputText'));
}

function describeMissing(what: string, column: CsvColumn): string {
  return `no column for ${what}: one of ${csvColumnNames[column].join(', ')}`;
}

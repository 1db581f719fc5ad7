import { ConversationTable } from './conversation-table.js';
import { type CsvLayout, csvLayout } from './csv-columns.js';
import { type CsvRecord, CsvScanner } from './csv-scanner.js';
import { fileChunks } from './file-chunks.js';
import { TimestampParser, timestampForms } from './timestamps.js';
import {
  estimateTokens,
  MAX_TOKENS,
  quoted,
  TraceFileError,
  type TraceFormat,
  type TraceReadOptions,
  type TraceRequest,
} from './trace.js';
import { TraceSource } from './trace-source.js';

/** What the original suite assumes for an answer whose length was not recorded. */
const UNKNOWN_OUTPUT_TOKENS = 128;

/**
 * Conversational CSV: a row a request, with its time, its conversation, and the tokens (or texts) of question and
 * answer. Rows without a question are left out, answers without a length get 128 tokens, as in the original suite.
 * Without a column for the conversation every row is one of its own, and its input the whole prompt: that is the
 * form of the Azure LLM inference traces (TIMESTAMP, ContextTokens, GeneratedTokens).
 */
export class CsvTrace extends TraceSource {
  readonly format: TraceFormat;
  readonly hasTimes = true;
  readonly blockTokens = null;
  readonly #countTokens: (text: string) => number;

  constructor(path: string, format: 'conversation-csv' | 'azure-csv', options: TraceReadOptions) {
    super(path);
    this.format = format;
    this.#countTokens = options.countTokens ?? estimateTokens;
  }

  protected async *read(): AsyncGenerator<readonly TraceRequest[]> {
    const scanner = new CsvScanner(this.path);
    let rows: RowReader | null = null;
    for await (const { bytes, isLast } of fileChunks(this.path)) {
      const batch: TraceRequest[] = [];
      scanner.push(bytes, isLast, (record) => {
        if (rows === null) {
          rows = this.#openRows(record);
        } else {
          const request = rows.read(record);
          if (request !== null) {
            batch.push(request);
          }
        }
      });
      if (batch.length > 0) {
        yield batch;
      }
    }
    if (rows === null) {
      throw new TraceFileError(this.path, 'is empty: a header and rows are expected');
    }
  }

  #openRows(header: CsvRecord): RowReader {
    const names = Array.from({ length: header.fieldCount }, (_, field) => header.text(field));
    const layout = csvLayout(this.path, names, header.line);
    if (this.format === 'conversation-csv' && layout.conversation === undefined) {
      throw new TraceFileError(
        this.path,
        'no column for the conversation (ConversationId, conversation_id, session_id): read it as azure-csv if every row stands alone',
        { line: header.line },
      );
    }
    return new RowReader({
      path: this.path,
      names,
      layout: this.format === 'azure-csv' ? { ...layout, conversation: undefined } : layout,
      countTokens: this.#countTokens,
      sinceFirst: (seconds, isDate) => this.sinceFirst(seconds, isDate),
      note: (sentence) => this.note(sentence),
    });
  }
}

interface RowContext {
  readonly path: string;
  readonly names: readonly string[];
  readonly layout: { readonly [Column in keyof CsvLayout]: CsvLayout[Column] | undefined };
  countTokens(text: string): number;
  sinceFirst(seconds: number, isDate: boolean): number;
  note(sentence: string): void;
}

class RowReader {
  readonly #context: RowContext;
  readonly #conversations = new ConversationTable();
  readonly #times = new TimestampParser();
  #index = 0;

  constructor(context: RowContext) {
    this.#context = context;
  }

  /** null: a row that says nothing. */
  read(record: CsvRecord): TraceRequest | null {
    const { names, layout, path } = this.#context;
    if (record.fieldCount !== names.length) {
      throw new TraceFileError(path, `${record.fieldCount} fields, where the header has ${names.length}`, {
        line: record.line,
      });
    }
    const newTokens = this.#tokens(record, layout.inputTokens, layout.inputText);
    if (newTokens <= 0) {
      this.#context.note('rows without a question were left out');
      return null;
    }
    let outputTokens = this.#tokens(record, layout.outputTokens, layout.outputText);
    if (outputTokens < 0) {
      this.#context.note(`answers without a length were taken for ${UNKNOWN_OUTPUT_TOKENS} tokens`);
      outputTokens = UNKNOWN_OUTPUT_TOKENS;
    }
    const index = this.#index;
    this.#index += 1;
    const timeSeconds = this.#time(record);
    const texts = this.#texts(record);
    if (layout.conversation === undefined) {
      const conversationId = String(index);
      const common = { index, timeSeconds, conversation: index, conversationId, turn: 0 };
      return { ...common, newTokens, promptTokens: newTokens, outputTokens, ...texts };
    }
    const conversationId = record.text(layout.conversation);
    if (conversationId === '') {
      throw this.#wrong(record, layout.conversation, 'a conversation needs a name');
    }
    const conversation = this.#conversations.numberOf(conversationId);
    const turn = this.#conversations.turns(conversation);
    const label = layout.turn === undefined ? turn : this.#turnLabel(record, layout.turn, conversation, turn);
    const promptTokens = this.#conversations.historyTokens(conversation) + newTokens;
    if (promptTokens + outputTokens > MAX_TOKENS) {
      throw new TraceFileError(path, `conversation ${quoted(conversationId)} grows beyond ${MAX_TOKENS} tokens`, {
        line: record.line,
      });
    }
    this.#conversations.addTurn(conversation, promptTokens + outputTokens, label);
    return texts === null
      ? { index, timeSeconds, conversation, conversationId, turn, newTokens, promptTokens, outputTokens }
      : { index, timeSeconds, conversation, conversationId, turn, newTokens, promptTokens, outputTokens, ...texts };
  }

  /** -1: nothing there. */
  #tokens(record: CsvRecord, counts: number | undefined, texts: number | undefined): number {
    if (counts !== undefined) {
      const tokens = record.wholeNumber(counts);
      if (Number.isNaN(tokens) || tokens > MAX_TOKENS) {
        throw this.#wrong(record, counts, `a whole number of tokens from 0 to ${MAX_TOKENS} is expected`);
      }
      return tokens;
    }
    const text = texts === undefined ? '' : record.text(texts);
    return text === '' ? -1 : this.#context.countTokens(text);
  }

  #texts(record: CsvRecord): { readonly inputText?: string; readonly outputText?: string } | null {
    const { inputText, outputText } = this.#context.layout;
    if (inputText === undefined && outputText === undefined) {
      return null;
    }
    const input = inputText === undefined ? '' : record.text(inputText);
    const output = outputText === undefined ? '' : record.text(outputText);
    return { ...(input === '' ? {} : { inputText: input }), ...(output === '' ? {} : { outputText: output }) };
  }

  #time(record: CsvRecord): number {
    const field = this.#context.layout.time ?? 0;
    if (!this.#times.parse(record.bytes, record.start(field), record.end(field))) {
      throw this.#wrong(record, field, `expected is ${timestampForms}`);
    }
    return this.#context.sinceFirst(this.#times.seconds, this.#times.isDate);
  }

  #turnLabel(record: CsvRecord, field: number, conversation: number, turn: number): number {
    const label = record.wholeNumber(field);
    if (Number.isNaN(label) || label < 0) {
      throw this.#wrong(record, field, 'a whole number from 0 is expected');
    }
    const before = this.#conversations.lastTurnLabel(conversation);
    if (turn > 0 && label <= before) {
      throw this.#wrong(record, field, `the turns of a conversation must go up, and its row before has ${before}`);
    }
    return label;
  }

  #wrong(record: CsvRecord, field: number, expected: string): TraceFileError {
    const column = this.#context.names[field];
    return new TraceFileError(this.#context.path, `${quoted(record.text(field))}: ${expected}`, {
      line: record.line,
      ...(column === undefined ? {} : { column }),
    });
  }
}

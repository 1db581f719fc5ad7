/**
 * One request of a trace, whatever file it came from.
 *
 * A conversation is a chain of requests: the prompt of a turn is everything said before (every earlier question and
 * answer) followed by the turn's own question. `newTokens` counts the question alone, `promptTokens` all of it.
 */
export interface TraceRequest {
  /** Position in the file's order of requests, from 0. */
  readonly index: number;
  /** Seconds after the trace's first request; null where the file has no times. May go back where the file's do. */
  readonly timeSeconds: number | null;
  /** Number of the conversation, from 0 in order of appearance. */
  readonly conversation: number;
  /** Its name in the file; where the file knows no conversations, the request's number. */
  readonly conversationId: string;
  /** Position in the conversation, from 0. */
  readonly turn: number;
  /** Tokens that this turn adds to the conversation before the answer. */
  readonly newTokens: number;
  /** Tokens of the whole prompt, history included. */
  readonly promptTokens: number;
  /** Tokens of the answer. */
  readonly outputTokens: number;
  /** The question, where the file has texts. */
  readonly inputText?: string;
  /** The recorded answer, where the file has texts. */
  readonly outputText?: string;
  /** Names of the prompt's blocks of `blockTokens` tokens in order, the last one possibly partial; where known. */
  readonly hashIds?: readonly (number | string)[];
}

export const traceFormats = ['conversation-csv', 'azure-csv', 'mooncake', 'sharegpt', 'server-log'] as const;
/** What a trace file may be; see docs/traces.md. */
export type TraceFormat = (typeof traceFormats)[number];

/** What a reader noticed and mended, by sentence, with how often: rows left out, missing values filled in. */
export type TraceNotes = ReadonlyMap<string, number>;

/** An open trace. Requests come in batches, so that millions of them cost little; memory does not grow with them. */
export interface Trace {
  readonly path: string;
  readonly format: TraceFormat;
  /** Whether `timeSeconds` is known. */
  readonly hasTimes: boolean;
  /** Tokens that one hash id stands for; null where the trace has none. */
  readonly blockTokens: number | null;
  /** Complete once the batches were read. */
  readonly notes: TraceNotes;
  /** Epoch seconds of the first request; null before it was read, or where the times are none of the calendar. */
  readonly startedAt: number | null;
  /**
   * Reads the file once, from the start.
   * @throws TraceFileError where a row is not what it should be
   */
  batches(): AsyncIterable<readonly TraceRequest[]>;
}

export interface TraceReadOptions {
  /** Default: told by the file's content. */
  readonly format?: TraceFormat;
  /** Counts the tokens of texts, where a file has texts only; default: `estimateTokens`. */
  readonly countTokens?: (text: string) => number;
  /** Tokens of a hash id of a Mooncake trace; default 512, as in the published ones. */
  readonly blockTokens?: number;
  /** Seconds a unit of a Mooncake trace's timestamps; default 0.001. */
  readonly secondsPerUnit?: number;
}

/** Four bytes of UTF-8 a token, at least 1: near enough for English where there is no tokenizer. */
export function estimateTokens(text: string): number {
  return Math.max(1, Math.ceil(Buffer.byteLength(text) / 4));
}

/** The most tokens that a prompt or an answer of a trace may have. */
export const MAX_TOKENS = 2 ** 31 - 1;

/** A trace file that is not what it should be: where, what stands there, and what is allowed. */
export class TraceFileError extends RangeError {
  readonly path: string;
  /** From 1; null where the whole file is meant. */
  readonly line: number | null;
  /** Its name; null where the whole row is meant. */
  readonly column: string | null;

  constructor(path: string, message: string, where: { readonly line?: number; readonly column?: string } = {}) {
    const line = where.line === undefined ? '' : `, line ${where.line}`;
    const column = where.column === undefined ? '' : `, column "${where.column}"`;
    super(`"${path}"${line}${column}: ${message}`);
    this.path = path;
    this.line = where.line ?? null;
    this.column = where.column ?? null;
  }
}

/** A value as errors quote it: at most 60 characters. */
export function quoted(value: string): string {
  return `"${value.length > 60 ? `${value.slice(0, 57)}...` : value}"`;
}

import { quoted, TraceFileError } from './trace.js';

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const SPACE = 32;
const TAB = 9;
const QUOTE = 34;
const COMMA = 44;
const POINT = 46;
const ZERO = 48;
const NINE = 57;
const MAX_COLUMNS = 1024;
const MAX_RECORD_BYTES = 64 * 1024 * 1024;

/** The record under the scanner: valid until the next one. */
export interface CsvRecord {
  /** Where it starts, from 1. */
  readonly line: number;
  readonly fieldCount: number;
  readonly bytes: Buffer;
  /** First byte of a field, blanks and quotes left out. */
  start(field: number): number;
  /** Behind its last byte. */
  end(field: number): number;
  /** Quotes undone, blanks around it left out. */
  text(field: number): string;
  /** A whole number from 0 (`12` or `12.0`); NaN: something else; -1: nothing there. */
  wholeNumber(field: number): number;
}

/**
 * Splits RFC 4180 text into records as its bytes arrive: quoted fields may hold commas, line breaks and doubled
 * quotes; lines end in LF or CRLF; blank lines are passed over. No record costs an allocation.
 */
export class CsvScanner implements CsvRecord {
  line = 1;
  fieldCount = 0;
  bytes: Buffer = Buffer.alloc(0);
  readonly #path: string;
  readonly #starts = new Int32Array(MAX_COLUMNS);
  readonly #ends = new Int32Array(MAX_COLUMNS);
  readonly #escaped = new Uint8Array(MAX_COLUMNS);
  #nextLine = 1;
  #isFirst = true;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * @param onRecord called for each complete record
   * @throws TraceFileError for a quote that is never closed, or text behind a closing quote
   */
  push(chunk: Buffer, isLast: boolean, onRecord: (record: CsvRecord) => void): void {
    const bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk]);
    this.bytes = bytes;
    let position = 0;
    if (this.#isFirst && bytes.length > 0) {
      this.#isFirst = false;
      position = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    }
    let nextQuote = -2;
    while (position < bytes.length) {
      let end = bytes.indexOf(LINE_FEED, position);
      if (end === -1) {
        if (!isLast) {
          break;
        }
        end = bytes.length;
      }
      if (nextQuote !== -1 && nextQuote < position) {
        nextQuote = bytes.indexOf(QUOTE, position);
      }
      this.line = this.#nextLine;
      if (nextQuote !== -1 && nextQuote < end) {
        const behind = this.#splitQuoted(position, isLast);
        if (behind === -1) {
          break;
        }
        position = behind;
      } else {
        this.#splitPlain(position, end);
        this.#nextLine += 1;
        position = end + 1;
      }
      if (this.fieldCount > 1 || (this.#ends[0] ?? 0) > (this.#starts[0] ?? 0)) {
        onRecord(this);
      }
    }
    this.bytes = bytes.subarray(Math.min(position, bytes.length));
    if (this.bytes.length > MAX_RECORD_BYTES) {
      throw new TraceFileError(this.#path, 'a record of more than 64 MiB: is a quote not closed?', {
        line: this.#nextLine,
      });
    }
  }

  start(field: number): number {
    return this.#starts[field] ?? 0;
  }

  end(field: number): number {
    return this.#ends[field] ?? 0;
  }

  text(field: number): string {
    if (field >= this.fieldCount) {
      return '';
    }
    const text = this.bytes.toString('utf8', this.start(field), this.end(field));
    return this.#escaped[field] === 1 ? text.replaceAll('""', '"') : text;
  }

  wholeNumber(field: number): number {
    const end = this.end(field);
    let position = this.start(field);
    if (position === end) {
      return -1;
    }
    let value = 0;
    const { bytes } = this;
    let byte = bytes[position] ?? 0;
    if (byte < ZERO || byte > NINE) {
      return Number.NaN;
    }
    while (position < end) {
      byte = bytes[position] ?? 0;
      if (byte < ZERO || byte > NINE) {
        break;
      }
      value = value * 10 + byte - ZERO;
      position += 1;
    }
    if (position < end && bytes[position] === POINT) {
      position += 1;
      while (position < end && bytes[position] === ZERO) {
        position += 1;
      }
    }
    return position === end ? value : Number.NaN;
  }

  #splitPlain(from: number, lineEnd: number): void {
    const { bytes } = this;
    const end = lineEnd > from && bytes[lineEnd - 1] === CARRIAGE_RETURN ? lineEnd - 1 : lineEnd;
    let field = 0;
    let start = from;
    for (let position = from; position < end; position += 1) {
      if (bytes[position] === COMMA) {
        this.#setField(field, start, position);
        field += 1;
        start = position + 1;
      }
    }
    this.#setField(field, start, end);
    this.fieldCount = field + 1;
  }

  /** @returns where the next record starts; -1: this one is not complete yet. */
  #splitQuoted(from: number, isLast: boolean): number {
    const { bytes } = this;
    const { length } = bytes;
    let field = 0;
    let position = from;
    let lines = 0;
    for (;;) {
      let start = position;
      while (start < length && isBlank(bytes[start])) {
        start += 1;
      }
      if (bytes[start] === QUOTE) {
        let escaped = 0;
        let close = start;
        for (;;) {
          close = bytes.indexOf(QUOTE, close + 1);
          if (close === -1 || (close === length - 1 && !isLast)) {
            return this.#incomplete(isLast);
          }
          if (bytes[close + 1] !== QUOTE) {
            break;
          }
          escaped = 1;
          close += 1;
        }
        for (let at = bytes.indexOf(LINE_FEED, start); at !== -1 && at < close; at = bytes.indexOf(LINE_FEED, at + 1)) {
          lines += 1;
        }
        this.#setRawField(field, start + 1, close, escaped);
        position = close + 1;
        while (position < length && (isBlank(bytes[position]) || bytes[position] === CARRIAGE_RETURN)) {
          position += 1;
        }
        if (position < length && bytes[position] !== COMMA && bytes[position] !== LINE_FEED) {
          const behind = bytes.toString('utf8', position, Math.min(length, position + 20));
          throw new TraceFileError(
            this.#path,
            `text behind the closing quote of field ${field + 1}: ${quoted(behind)}`,
            {
              line: this.line,
            },
          );
        }
      } else {
        while (position < length && bytes[position] !== COMMA && bytes[position] !== LINE_FEED) {
          position += 1;
        }
        const end = position > start && bytes[position - 1] === CARRIAGE_RETURN ? position - 1 : position;
        this.#setField(field, start, end);
      }
      if (position >= length) {
        if (!isLast) {
          return -1;
        }
        break;
      }
      position += 1;
      if (bytes[position - 1] === LINE_FEED) {
        break;
      }
      field += 1;
    }
    this.fieldCount = field + 1;
    this.#nextLine += lines + 1;
    return position;
  }

  #incomplete(isLast: boolean): -1 {
    if (isLast) {
      throw new TraceFileError(this.#path, 'a quote is opened and never closed', { line: this.line });
    }
    return -1;
  }

  #setField(field: number, from: number, to: number): void {
    const { bytes } = this;
    let start = from;
    let end = to;
    while (start < end && isBlank(bytes[start])) {
      start += 1;
    }
    while (end > start && isBlank(bytes[end - 1])) {
      end -= 1;
    }
    this.#setRawField(field, start, end, 0);
  }

  #setRawField(field: number, start: number, end: number, escaped: number): void {
    if (field >= MAX_COLUMNS) {
      throw new TraceFileError(this.#path, `more than ${MAX_COLUMNS} fields`, { line: this.line });
    }
    this.#starts[field] = start;
    this.#ends[field] = end;
    this.#escaped[field] = escaped;
  }
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB;
}

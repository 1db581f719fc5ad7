import { GrowableBytes } from './growable.js';

/** The peer does not speak HTTP/1.1 as RFC 9112 has it. */
export class HttpFormatError extends Error {
  override readonly name = 'HttpFormatError';
}

export interface ResponseHead {
  readonly status: number;
  /** Names in lower case; repeated fields joined by `, `. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface ResponseSink {
  onHead(head: ResponseHead, time: number): void;
  /** Bytes of the body, without chunk framing; only valid during the call. */
  onBody(bytes: Uint8Array, start: number, end: number, time: number): void;
  onComplete(time: number, reusable: boolean): void;
}

const LF = 10;
const CR = 13;
const SEMICOLON = 59;
const MAX_HEAD_BYTES = 64 * 1024;

type Phase = 'head' | 'sized-body' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailer' | 'until-close' | 'complete';

/** Incremental parser of one HTTP/1.1 response after the other; framing only, bodies are handed on in place. */
export class HttpResponseParser {
  readonly #sink: ResponseSink;
  #phase: Phase = 'head';
  /** The head, chunk-size line or trailer line being collected. */
  readonly #line = new GrowableBytes(512);
  #remaining = 0;
  #keepAlive = true;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** Made ready for the next response on the same connection. */
  reset(): void {
    this.#phase = 'head';
    this.#line.clear();
  }

  /** @throws HttpFormatError; whatever the sink throws. */
  push(bytes: Uint8Array, start: number, end: number, time: number): void {
    let position = start;
    while (position < end) {
      switch (this.#phase) {
        case 'head':
          position = this.#takeHead(bytes, position, end, time);
          break;
        case 'sized-body':
        case 'chunk-data':
          position = this.#takeBody(bytes, position, end, time);
          break;
        case 'chunk-size':
          position = this.#takeChunkSize(bytes, position, end);
          break;
        case 'chunk-end':
        case 'trailer':
          position = this.#takeLineEnd(bytes, position, end, time);
          break;
        case 'until-close':
          this.#sink.onBody(bytes, position, end, time);
          position = end;
          break;
        case 'complete':
          throw new HttpFormatError('The server sent more than its answer.');
      }
    }
  }

  /** The peer closed its side. True: that completed the response. */
  finish(time: number): boolean {
    if (this.#phase !== 'until-close') {
      return false;
    }
    this.#complete(time, false);
    return true;
  }

  #takeHead(bytes: Uint8Array, start: number, end: number, time: number): number {
    const line = this.#line;
    let position = start;
    while (position < end) {
      const byte = bytes[position] ?? 0;
      line.appendByte(byte);
      position += 1;
      if (byte === LF && this.#headIsOver()) {
        this.#startBody(line.text(), time);
        line.clear();
        return position;
      }
      if (line.length > MAX_HEAD_BYTES) {
        throw new HttpFormatError(`The head of the answer is longer than ${MAX_HEAD_BYTES} bytes.`);
      }
    }
    return position;
  }

  /** An empty line ends the head; behind it stands LF LF or LF CR LF. */
  #headIsOver(): boolean {
    const { bytes, length } = this.#line;
    return bytes[length - 2] === LF || (bytes[length - 2] === CR && bytes[length - 3] === LF);
  }

  #startBody(text: string, time: number): void {
    const [statusLine = '', ...fields] = text.split(/\r?\n/);
    const match = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(statusLine);
    if (match === null) {
      throw new HttpFormatError(`The answer does not begin as HTTP/1.1 does: "${statusLine.slice(0, 80)}".`);
    }
    const status = Number(match[2]);
    if (status < 200) {
      if (status === 101) {
        throw new HttpFormatError('The server switched protocols.');
      }
      return;
    }
    const headers = new Map<string, string>();
    for (const field of fields) {
      const colon = field.indexOf(':');
      if (colon > 0) {
        const name = field.slice(0, colon).toLowerCase();
        const value = field.slice(colon + 1).trim();
        const before = headers.get(name);
        headers.set(name, before === undefined ? value : `${before}, ${value}`);
      }
    }
    const connection = headers.get('connection')?.toLowerCase() ?? '';
    this.#keepAlive = match[1] === '1' ? !connection.includes('close') : connection.includes('keep-alive');
    this.#sink.onHead({ status, headers }, time);
    this.#chooseFraming(status, headers, time);
  }

  #chooseFraming(status: number, headers: ReadonlyMap<string, string>, time: number): void {
    const coding = headers.get('transfer-encoding');
    const length = headers.get('content-length');
    if (status === 204 || status === 304) {
      this.#complete(time, this.#keepAlive);
    } else if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked') {
        throw new HttpFormatError(`The answer has the transfer coding "${coding}", which was not asked for.`);
      }
      this.#phase = 'chunk-size';
    } else if (length === undefined) {
      this.#phase = 'until-close';
    } else {
      if (!/^\d{1,15}$/.test(length)) {
        throw new HttpFormatError(`The answer's content-length is "${length}".`);
      }
      this.#remaining = Number(length);
      this.#phase = 'sized-body';
      if (this.#remaining === 0) {
        this.#complete(time, this.#keepAlive);
      }
    }
  }

  #takeBody(bytes: Uint8Array, start: number, end: number, time: number): number {
    const stop = Math.min(end, start + this.#remaining);
    this.#remaining -= stop - start;
    this.#sink.onBody(bytes, start, stop, time);
    if (this.#remaining === 0) {
      if (this.#phase === 'chunk-data') {
        this.#phase = 'chunk-end';
      } else {
        this.#complete(time, this.#keepAlive);
      }
    }
    return stop;
  }

  #takeChunkSize(bytes: Uint8Array, start: number, end: number): number {
    const line = this.#line;
    let position = start;
    while (position < end) {
      const byte = bytes[position] ?? 0;
      position += 1;
      if (byte === LF) {
        this.#remaining = this.#chunkSize();
        line.clear();
        this.#phase = this.#remaining === 0 ? 'trailer' : 'chunk-data';
        return position;
      }
      line.appendByte(byte);
      if (line.length > 1024) {
        throw new HttpFormatError('A chunk has no size.');
      }
    }
    return position;
  }

  #chunkSize(): number {
    const { bytes, length } = this.#line;
    let size = 0;
    let digits = 0;
    for (; digits < length; digits += 1) {
      const byte = bytes[digits] ?? 0;
      const digit = hexDigit(byte);
      if (digit < 0) {
        if (byte !== SEMICOLON && byte !== CR && byte !== 32 && byte !== 9) {
          digits = 0;
        }
        break;
      }
      size = size * 16 + digit;
    }
    if (digits === 0 || size > Number.MAX_SAFE_INTEGER) {
      throw new HttpFormatError(`A chunk's size is "${this.#line.text().trim().slice(0, 40)}".`);
    }
    return size;
  }

  /** The CRLF behind a chunk, or one line of the trailer; the trailer's empty line ends the response. */
  #takeLineEnd(bytes: Uint8Array, start: number, end: number, time: number): number {
    const line = this.#line;
    let position = start;
    while (position < end) {
      const byte = bytes[position] ?? 0;
      position += 1;
      if (byte === LF) {
        const isEmpty = line.length === 0;
        line.clear();
        if (this.#phase === 'chunk-end') {
          this.#phase = 'chunk-size';
          return position;
        }
        if (isEmpty) {
          this.#complete(time, this.#keepAlive);
          return position;
        }
      } else if (byte !== CR) {
        if (this.#phase === 'chunk-end') {
          throw new HttpFormatError('A chunk is longer than its size says.');
        }
        line.appendByte(byte);
        if (line.length > MAX_HEAD_BYTES) {
          throw new HttpFormatError('The trailer of the answer has no end.');
        }
      }
    }
    return position;
  }

  #complete(time: number, reusable: boolean): void {
    this.#phase = 'complete';
    this.#sink.onComplete(time, reusable);
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) {
    return byte - 48;
  }
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

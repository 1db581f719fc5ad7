import { GrowableBytes } from './growable.js';

/** What arrived is not what an event stream of an OpenAI-compatible server looks like. */
export class StreamFormatError extends Error {
  override readonly name = 'StreamFormatError';
}

export interface EventSink {
  /**
   * One event's data. The bytes are only valid during the call.
   * @param isError the event's type was `error`
   * @param time as given to `push` with the bytes that completed the event
   */
  onEvent(bytes: Uint8Array, start: number, end: number, time: number, isError: boolean): void;
}

const LF = 10;
const CR = 13;
const SPACE = 32;
const COLON = 58;
const MAX_EVENT_BYTES = 64 * 1024 * 1024;

const BOM = Uint8Array.of(0xef, 0xbb, 0xbf);
const DATA = Buffer.from('data');
const EVENT = Buffer.from('event');
const ERROR = Buffer.from('error');
/** The data that ends a stream of an OpenAI-compatible server. */
export const DONE: Uint8Array = Buffer.from('[DONE]');

export function bytesEqual(bytes: Uint8Array, start: number, end: number, expected: Uint8Array): boolean {
  if (end - start !== expected.length) {
    return false;
  }
  for (let index = 0; index < expected.length; index += 1) {
    if (bytes[start + index] !== expected[index]) {
      return false;
    }
  }
  return true;
}

/**
 * Splits bytes into server-sent events, whatever the reads cut apart.
 * Follows the parsing rules of the HTML standard, section 9.2.6: lines end in LF, CR or CRLF; comments, `id`, `retry`
 * and unknown fields are skipped; several `data` lines are joined by LF. An event that lies within one read is
 * handed on in place: nothing is copied or allocated for it.
 */
export class SseScanner {
  readonly #sink: EventSink;
  /** The beginning of a line whose end has not come. */
  readonly #line = new GrowableBytes(0);
  /** Data of the current event, once it cannot be handed on in place. */
  readonly #data = new GrowableBytes(0);
  #hasData = false;
  /** Data of the current event in the bytes being pushed; -1: none. */
  #inPlaceStart = -1;
  #inPlaceEnd = -1;
  #isError = false;
  #skipLf = false;
  #atStart = true;

  constructor(sink: EventSink) {
    this.#sink = sink;
  }

  /** @throws StreamFormatError for an event beyond 64 MiB; whatever the sink throws. */
  push(bytes: Uint8Array, start: number, end: number, time: number): void {
    let position = start;
    if (this.#skipLf && position < end) {
      this.#skipLf = false;
      if (bytes[position] === LF) {
        position += 1;
      }
    }
    while (position < end) {
      let lineEnd = position;
      let byte = 0;
      while (lineEnd < end) {
        byte = bytes[lineEnd] ?? 0;
        if (byte === LF || byte === CR) {
          break;
        }
        lineEnd += 1;
      }
      if (lineEnd === end) {
        this.#checkSize(this.#line.length + end - position);
        this.#line.append(bytes, position, end);
        break;
      }
      if (this.#line.length > 0) {
        this.#line.append(bytes, position, lineEnd);
        this.#takeLine(this.#line.bytes, 0, this.#line.length, time, false);
        this.#line.clear();
      } else {
        this.#takeLine(bytes, position, lineEnd, time, true);
      }
      position = lineEnd + 1;
      if (byte === CR) {
        if (position === end) {
          this.#skipLf = true;
        } else if (bytes[position] === LF) {
          position += 1;
        }
      }
    }
    if (this.#inPlaceStart >= 0) {
      this.#data.append(bytes, this.#inPlaceStart, this.#inPlaceEnd);
      this.#inPlaceStart = -1;
    }
  }

  /**
   * The stream ended. The standard drops an event without its blank line; `[DONE]` counts all the same, for
   * servers that end their stream right behind it.
   */
  finish(time: number): void {
    if (this.#line.length > 0) {
      this.#takeLine(this.#line.bytes, 0, this.#line.length, time, false);
      this.#line.clear();
    }
    if (bytesEqual(this.#data.bytes, 0, this.#data.length, DONE)) {
      this.#dispatch(this.#data.bytes, 0, this.#data.length, time);
    }
  }

  #takeLine(bytes: Uint8Array, lineStart: number, end: number, time: number, inPlace: boolean): void {
    let start = lineStart;
    if (this.#atStart) {
      this.#atStart = false;
      if (end - start >= BOM.length && bytesEqual(bytes, start, start + BOM.length, BOM)) {
        start += BOM.length;
      }
    }
    if (start === end) {
      if (this.#inPlaceStart >= 0) {
        const from = this.#inPlaceStart;
        this.#inPlaceStart = -1;
        this.#dispatch(bytes, from, this.#inPlaceEnd, time);
      } else {
        this.#dispatch(this.#data.bytes, 0, this.#data.length, time);
      }
      return;
    }
    let colon = start;
    while (colon < end && bytes[colon] !== COLON) {
      colon += 1;
    }
    const valueStart = Math.min(end, bytes[colon + 1] === SPACE && colon + 1 < end ? colon + 2 : colon + 1);
    if (bytesEqual(bytes, start, colon, DATA)) {
      this.#takeData(bytes, valueStart, end, inPlace);
    } else if (bytesEqual(bytes, start, colon, EVENT)) {
      this.#isError = bytesEqual(bytes, valueStart, end, ERROR);
    }
  }

  #takeData(bytes: Uint8Array, start: number, end: number, inPlace: boolean): void {
    if (!this.#hasData && inPlace) {
      this.#inPlaceStart = start;
      this.#inPlaceEnd = end;
    } else {
      if (this.#inPlaceStart >= 0) {
        this.#data.append(bytes, this.#inPlaceStart, this.#inPlaceEnd);
        this.#inPlaceStart = -1;
      }
      if (this.#hasData) {
        this.#data.appendByte(LF);
      }
      this.#checkSize(this.#data.length + end - start);
      this.#data.append(bytes, start, end);
    }
    this.#hasData = true;
  }

  #dispatch(bytes: Uint8Array, start: number, end: number, time: number): void {
    const hadData = this.#hasData;
    const isError = this.#isError;
    this.#hasData = false;
    this.#isError = false;
    this.#data.clear();
    if (hadData) {
      this.#sink.onEvent(bytes, start, end, time, isError);
    }
  }

  #checkSize(size: number): void {
    if (size > MAX_EVENT_BYTES) {
      throw new StreamFormatError(`An event is larger than ${MAX_EVENT_BYTES} bytes.`);
    }
  }
}

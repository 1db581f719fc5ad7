import { bytesEqual, StreamFormatError } from './sse-scanner.js';

const QUOTE = 34;
const COMMA = 44;
const MINUS = 45;
const ZERO = 48;
const NINE = 57;
const COLON = 58;
const OPEN_ARRAY = 91;
const BACKSLASH = 92;
const CLOSE_ARRAY = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;

const NULL = Buffer.from('null');
const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
const MAX_DEPTH = 256;

/**
 * Walks over JSON in place: the caller names what it wants and skips the rest, nothing is allocated.
 * Checks the grammar of what it walks over, but for the inside of numbers and of escapes.
 * Every method throws StreamFormatError when the bytes are not JSON or not of the kind asked for.
 */
export class JsonCursor {
  bytes: Uint8Array = new Uint8Array(0);
  position = 0;
  /** The string read last, without its quotes, still escaped. */
  stringStart = 0;
  stringEnd = 0;
  #end = 0;
  /** Just behind an opening bracket: no comma is due. */
  #first = false;

  open(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.position = start;
    this.#end = end;
    this.#skipSpace();
  }

  enterObject(): void {
    this.#expect(OPEN_OBJECT);
    this.#first = true;
  }

  enterArray(): void {
    this.#expect(OPEN_ARRAY);
    this.#first = true;
  }

  /** Moves to the value of the next member, its key as the current string; false: the object is over. */
  nextKey(): boolean {
    if (!this.#nextElement(CLOSE_OBJECT)) {
      return false;
    }
    this.readString();
    this.#expect(COLON);
    return true;
  }

  /** Moves to the next item; false: the array is over. */
  nextItem(): boolean {
    return this.#nextElement(CLOSE_ARRAY);
  }

  /** Whether the string read last (a key after `nextKey`) is this one; escapes are not resolved. */
  stringIs(expected: Uint8Array): boolean {
    return bytesEqual(this.bytes, this.stringStart, this.stringEnd, expected);
  }

  stringText(): string {
    return Buffer.from(
      this.bytes.buffer,
      this.bytes.byteOffset + this.stringStart,
      this.stringEnd - this.stringStart,
    ).toString('utf8');
  }

  atString(): boolean {
    return this.#byte() === QUOTE;
  }

  /** Skips a `null`; false: the value is something else and still to be read. */
  skipNull(): boolean {
    if (this.#byte() !== 110) {
      return false;
    }
    this.#literal(NULL);
    return true;
  }

  readString(): void {
    if (this.#byte() !== QUOTE) {
      this.#fail('a string');
    }
    const bytes = this.bytes;
    const end = this.#end;
    let position = this.position + 1;
    this.stringStart = position;
    while (position < end) {
      const byte = bytes[position] ?? 0;
      if (byte === QUOTE) {
        this.stringEnd = position;
        this.position = position + 1;
        this.#skipSpace();
        return;
      }
      if (byte < 32) {
        break;
      }
      position += byte === BACKSLASH ? 2 : 1;
    }
    this.position = Math.min(position, end);
    this.#fail('the end of a string');
  }

  /** A whole number; null for `null` and for anything that is none. */
  readInteger(): number | null {
    let position = this.position;
    let value = 0;
    while (position < this.#end) {
      const byte = this.bytes[position] ?? 0;
      if (byte < ZERO || byte > NINE) {
        break;
      }
      value = value * 10 + byte - ZERO;
      position += 1;
    }
    const isWhole = position > this.position && !this.#continuesNumber(position);
    this.skipValue();
    return isWhole ? value : null;
  }

  skipValue(): void {
    this.#skipNested(0);
  }

  /** Nothing but white space may follow. */
  expectEnd(): void {
    if (this.position < this.#end) {
      this.#fail('the end of the JSON');
    }
  }

  #nextElement(close: number): boolean {
    const byte = this.#byte();
    if (byte === close) {
      this.position += 1;
      this.#skipSpace();
      this.#first = false;
      return false;
    }
    if (this.#first) {
      this.#first = false;
    } else {
      this.#expect(COMMA);
    }
    return true;
  }

  #skipNested(depth: number): void {
    const byte = this.#byte();
    if (depth > MAX_DEPTH) {
      this.#fail('less deeply nested JSON');
    }
    if (byte === OPEN_OBJECT) {
      this.enterObject();
      while (this.nextKey()) {
        this.#skipNested(depth + 1);
      }
    } else if (byte === OPEN_ARRAY) {
      this.enterArray();
      while (this.nextItem()) {
        this.#skipNested(depth + 1);
      }
    } else {
      this.#skipScalar();
    }
  }

  #skipScalar(): void {
    const byte = this.#byte();
    if (byte === QUOTE) {
      this.readString();
    } else if (byte === 110) {
      this.#literal(NULL);
    } else if (byte === 116) {
      this.#literal(TRUE);
    } else if (byte === 102) {
      this.#literal(FALSE);
    } else if (byte === MINUS || (byte >= ZERO && byte <= NINE)) {
      this.position += 1;
      while (this.#continuesNumber(this.position)) {
        this.position += 1;
      }
      this.#skipSpace();
    } else {
      this.#fail('a value');
    }
  }

  /** Digits, `.`, `e`, `E`, `+`, `-`. */
  #continuesNumber(position: number): boolean {
    if (position >= this.#end) {
      return false;
    }
    const byte = this.bytes[position] ?? 0;
    return (
      (byte >= ZERO && byte <= NINE) || byte === 46 || byte === 101 || byte === 69 || byte === 43 || byte === MINUS
    );
  }

  #literal(expected: Uint8Array): void {
    const end = this.position + expected.length;
    if (end > this.#end || !bytesEqual(this.bytes, this.position, end, expected)) {
      this.#fail('a value');
    }
    this.position = end;
    this.#skipSpace();
  }

  #byte(): number {
    return this.position < this.#end ? (this.bytes[this.position] ?? -1) : -1;
  }

  #expect(byte: number): void {
    if (this.#byte() !== byte) {
      this.#fail(`"${String.fromCharCode(byte)}"`);
    }
    this.position += 1;
    this.#skipSpace();
  }

  #skipSpace(): void {
    while (this.position < this.#end) {
      const byte = this.bytes[this.position];
      if (byte !== 32 && byte !== 10 && byte !== 13 && byte !== 9) {
        return;
      }
      this.position += 1;
    }
  }

  #fail(expected: string): never {
    const from = Math.max(0, this.position - 40);
    const near = Buffer.from(
      this.bytes.buffer,
      this.bytes.byteOffset + from,
      Math.min(this.#end, this.position + 40) - from,
    ).toString('utf8');
    throw new StreamFormatError(`The event is not the JSON expected: ${expected} should stand in or near "${near}".`);
  }
}

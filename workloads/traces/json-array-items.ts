import { fileChunks } from './file-chunks.js';
import { TraceFileError } from './trace.js';

const QUOTE = 34;
const COMMA = 44;
const OPEN_ARRAY = 91;
const BACKSLASH = 92;
const CLOSE_ARRAY = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
const LINE_FEED = 10;
const MAX_ITEM_BYTES = 256 * 1024 * 1024;

/** One object of the array, and the line it starts in, from 1. */
export interface JsonItem {
  readonly value: unknown;
  readonly line: number;
}

/**
 * The objects of a JSON file that is one array of them, a batch at a time: memory holds one object, not the file.
 * @throws TraceFileError where the file is no such array
 */
export async function* jsonArrayItems(path: string): AsyncGenerator<readonly JsonItem[]> {
  const splitter = new ArraySplitter(path);
  for await (const { bytes, isLast } of fileChunks(path)) {
    const items = splitter.push(bytes, isLast);
    if (items.length > 0) {
      yield items;
    }
  }
}

type Place = 'before' | 'item-or-end' | 'item' | 'comma-or-end' | 'next-item' | 'behind';

class ArraySplitter {
  readonly #path: string;
  #place: Place = 'before';
  #depth = 0;
  #inString = false;
  #escaped = false;
  #line = 1;
  #itemLine = 1;
  /** Bytes of the item that began in an earlier chunk. */
  #begun: Buffer[] = [];
  #begunBytes = 0;
  #isFirst = true;

  constructor(path: string) {
    this.#path = path;
  }

  push(bytes: Buffer, isLast: boolean): readonly JsonItem[] {
    const items: JsonItem[] = [];
    let position = 0;
    if (this.#isFirst && bytes.length > 0) {
      this.#isFirst = false;
      position = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    }
    // An item that goes on from the chunk before goes on at this one's first byte.
    let itemStart = position;
    for (; position < bytes.length; position += 1) {
      const byte = bytes[position] ?? 0;
      if (byte === LINE_FEED) {
        this.#line += 1;
      }
      if (this.#place === 'item') {
        if (this.#isItemEnd(byte)) {
          items.push(this.#item(bytes.subarray(itemStart, position + 1)));
          this.#place = 'comma-or-end';
        }
      } else if (byte > 32) {
        if (this.#between(byte)) {
          itemStart = position;
        }
      }
    }
    if (this.#place === 'item') {
      this.#begun.push(bytes.subarray(itemStart));
      this.#begunBytes += bytes.length - itemStart;
      if (this.#begunBytes > MAX_ITEM_BYTES) {
        throw this.#fail('an entry of more than 256 MiB');
      }
    }
    if (isLast && this.#place !== 'behind') {
      throw this.#fail(this.#place === 'before' ? 'is empty: a JSON array is expected' : 'ends within the array');
    }
    return items;
  }

  /** @returns whether an item starts here. */
  #between(byte: number): boolean {
    const place = this.#place;
    if (place === 'before' && byte === OPEN_ARRAY) {
      this.#place = 'item-or-end';
    } else if ((place === 'item-or-end' || place === 'comma-or-end') && byte === CLOSE_ARRAY) {
      this.#place = 'behind';
    } else if (place === 'comma-or-end' && byte === COMMA) {
      this.#place = 'next-item';
    } else if ((place === 'item-or-end' || place === 'next-item') && byte === OPEN_OBJECT) {
      this.#place = 'item';
      this.#depth = 1;
      this.#itemLine = this.#line;
      return true;
    } else {
      const expected = {
        before: 'a JSON array, "["',
        'item-or-end': 'an object or "]"',
        item: '',
        'comma-or-end': '"," or "]"',
        'next-item': 'an object, "{"',
        behind: 'the end of the file',
      }[place];
      throw this.#fail(`"${String.fromCharCode(byte)}" where ${expected} is expected`);
    }
    return false;
  }

  #isItemEnd(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) {
        this.#escaped = false;
      } else if (byte === BACKSLASH) {
        this.#escaped = true;
      } else if (byte === QUOTE) {
        this.#inString = false;
      }
      return false;
    }
    if (byte === QUOTE) {
      this.#inString = true;
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      this.#depth += 1;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      this.#depth -= 1;
      return this.#depth === 0;
    }
    return false;
  }

  #item(bytes: Buffer): JsonItem {
    const whole = this.#begun.length === 0 ? bytes : Buffer.concat([...this.#begun, bytes]);
    this.#begun = [];
    this.#begunBytes = 0;
    try {
      return { value: JSON.parse(whole.toString('utf8')), line: this.#itemLine };
    } catch (error) {
      throw new TraceFileError(this.#path, `is no JSON: ${error instanceof Error ? error.message : String(error)}`, {
        line: this.#itemLine,
      });
    }
  }

  #fail(message: string): TraceFileError {
    return new TraceFileError(this.#path, message, { line: this.#line });
  }
}

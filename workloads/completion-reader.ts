import { GrowableBytes, GrowableTimes } from './growable.js';
import { JsonCursor } from './json-cursor.js';
import { bytesEqual, DONE, type EventSink, StreamFormatError } from './sse-scanner.js';

const key = (name: string): Uint8Array => Buffer.from(name);
const CHOICES = key('choices');
const USAGE = key('usage');
const ERROR = key('error');
const OBJECT = key('object');
const TEXT = key('text');
const DELTA = key('delta');
const CONTENT = key('content');
const ROLE = key('role');
const REASONING = key('reasoning');
const REASONING_CONTENT = key('reasoning_content');
const TOOL_CALLS = key('tool_calls');
const FINISH_REASON = key('finish_reason');
const INDEX = key('index');
const PROMPT_TOKENS = key('prompt_tokens');
const COMPLETION_TOKENS = key('completion_tokens');
const PROMPT_TOKENS_DETAILS = key('prompt_tokens_details');
const CACHED_TOKENS = key('cached_tokens');

/**
 * Reads the events of a streamed completion (text or chat) without building objects: one pass over the bytes of an
 * event, no allocation for a token. Text is kept as it came, still escaped, and decoded once by `text()`.
 * Several choices: only the text of choice 0 is kept.
 */
export class CompletionReader implements EventSink {
  /** One time an event that carried generated tokens. */
  readonly tokenTimes: GrowableTimes;
  /** The first event with visible content; NaN: none yet. */
  firstContentTime = Number.NaN;
  done = false;
  promptTokens: number | null = null;
  completionTokens: number | null = null;
  cachedTokens: number | null = null;
  finishReason: string | null = null;
  /** The first error the server sent inside the stream. */
  inBandError: string | null = null;

  readonly #cursor = new JsonCursor();
  readonly #escapedText: GrowableBytes;
  #sawChoice = false;
  #sawContent = false;
  #sawEmptyContent = false;
  #sawRole = false;

  /** @param expectedTokens sizes the buffers; any number may come */
  constructor(expectedTokens: number) {
    this.tokenTimes = new GrowableTimes(Math.min(expectedTokens, 65_536) + 2);
    this.#escapedText = new GrowableBytes(Math.min(expectedTokens, 65_536) * 6 + 16);
  }

  /** @throws StreamFormatError when the data is not a JSON object, or not of the expected shape. */
  onEvent(bytes: Uint8Array, start: number, end: number, time: number, isError: boolean): void {
    if (bytesEqual(bytes, start, end, DONE)) {
      this.done = true;
      return;
    }
    if (isError) {
      this.#takeError(bytes, start, end);
      return;
    }
    this.#sawChoice = false;
    this.#sawContent = false;
    this.#sawEmptyContent = false;
    this.#sawRole = false;
    this.#readMessage(bytes, start, end);
    if (!this.#sawChoice) {
      return;
    }
    if (this.#sawContent) {
      if (Number.isNaN(this.firstContentTime)) {
        this.firstContentTime = time;
      }
      this.tokenTimes.push(time);
    } else if (this.#sawEmptyContent && !this.#sawRole) {
      // A special token has no visible text, but it was generated.
      this.tokenTimes.push(time);
    }
  }

  /** @throws StreamFormatError when the pieces of text are not valid JSON strings. */
  text(): string {
    if (this.#escapedText.length === 0) {
      return '';
    }
    try {
      return String(JSON.parse(`"${this.#escapedText.text()}"`));
    } catch {
      throw new StreamFormatError('The generated text is not a valid JSON string.');
    }
  }

  #readMessage(bytes: Uint8Array, start: number, end: number): void {
    const cursor = this.#cursor;
    cursor.open(bytes, start, end);
    cursor.enterObject();
    while (cursor.nextKey()) {
      if (cursor.stringIs(CHOICES)) {
        if (!cursor.skipNull()) {
          cursor.enterArray();
          while (cursor.nextItem()) {
            this.#readChoice();
          }
        }
      } else if (cursor.stringIs(USAGE)) {
        if (!cursor.skipNull()) {
          this.#readUsage();
        }
      } else if (cursor.stringIs(ERROR)) {
        if (!cursor.skipNull()) {
          const from = cursor.position;
          cursor.skipValue();
          this.#takeError(bytes, from, cursor.position);
        }
      } else if (cursor.stringIs(OBJECT) && cursor.atString()) {
        cursor.readString();
        if (cursor.stringIs(ERROR)) {
          this.#takeError(bytes, start, end);
        }
      } else {
        cursor.skipValue();
      }
    }
    cursor.expectEnd();
  }

  #readChoice(): void {
    const cursor = this.#cursor;
    const textBefore = this.#escapedText.length;
    let index = 0;
    this.#sawChoice = true;
    cursor.enterObject();
    while (cursor.nextKey()) {
      if (cursor.stringIs(TEXT)) {
        this.#readContent();
      } else if (cursor.stringIs(DELTA)) {
        if (!cursor.skipNull()) {
          this.#readDelta();
        }
      } else if (cursor.stringIs(FINISH_REASON) && cursor.atString()) {
        cursor.readString();
        this.finishReason = cursor.stringText();
      } else if (cursor.stringIs(INDEX)) {
        index = cursor.readInteger() ?? 0;
      } else {
        cursor.skipValue();
      }
    }
    if (index !== 0) {
      this.#escapedText.length = textBefore;
    }
  }

  #readDelta(): void {
    const cursor = this.#cursor;
    cursor.enterObject();
    while (cursor.nextKey()) {
      if (cursor.stringIs(CONTENT) || cursor.stringIs(REASONING_CONTENT) || cursor.stringIs(REASONING)) {
        this.#readContent();
      } else if (cursor.stringIs(TOOL_CALLS)) {
        const from = cursor.position;
        const isNull = cursor.skipNull();
        if (!isNull) {
          cursor.skipValue();
          this.#sawContent ||= cursor.position - from > 2;
        }
      } else if (cursor.stringIs(ROLE)) {
        this.#sawRole ||= !cursor.skipNull();
        if (cursor.atString()) {
          cursor.readString();
        }
      } else {
        cursor.skipValue();
      }
    }
  }

  #readContent(): void {
    const cursor = this.#cursor;
    if (cursor.skipNull()) {
      return;
    }
    cursor.readString();
    if (cursor.stringEnd > cursor.stringStart) {
      this.#sawContent = true;
      this.#escapedText.append(cursor.bytes, cursor.stringStart, cursor.stringEnd);
    } else {
      this.#sawEmptyContent = true;
    }
  }

  #readUsage(): void {
    const cursor = this.#cursor;
    cursor.enterObject();
    while (cursor.nextKey()) {
      if (cursor.stringIs(PROMPT_TOKENS)) {
        this.promptTokens = cursor.readInteger();
      } else if (cursor.stringIs(COMPLETION_TOKENS)) {
        this.completionTokens = cursor.readInteger();
      } else if (cursor.stringIs(PROMPT_TOKENS_DETAILS)) {
        if (!cursor.skipNull()) {
          cursor.enterObject();
          while (cursor.nextKey()) {
            if (cursor.stringIs(CACHED_TOKENS)) {
              this.cachedTokens = cursor.readInteger();
            } else {
              cursor.skipValue();
            }
          }
        }
      } else {
        cursor.skipValue();
      }
    }
  }

  #takeError(bytes: Uint8Array, start: number, end: number): void {
    this.inBandError ??= Buffer.from(bytes.buffer, bytes.byteOffset + start, Math.min(end - start, 65_536)).toString();
  }
}

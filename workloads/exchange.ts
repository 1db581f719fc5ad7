import { CompletionReader } from './completion-reader.js';
import { GrowableBytes, GrowableTimes } from './growable.js';
import type { ExchangeSink } from './http-connection.js';
import type { ResponseHead } from './http-response-parser.js';
import type { ParseQueue } from './parse-queue.js';
import type { RequestFailure, RequestOutcome } from './request.js';
import { SseScanner, StreamFormatError } from './sse-scanner.js';

const MAX_ERROR_BODY_BYTES = 64 * 1024;
/** Beyond this much unread body, parsing no longer waits for a quiet moment. */
const MAX_DEFERRED_BYTES = 256 * 1024;
/** `Retry-After: 120`; the form with a date is not used by inference servers. */
const RETRY_AFTER_SECONDS = /^\d{1,9}$/;

/** How an exchange ended, as far as the connection knows. */
type Ending = { readonly kind: 'complete' } | { readonly kind: 'failed'; readonly failure: RequestFailure };

/**
 * One streamed request in the making. While the socket delivers, it only notes when how many bytes came; what they
 * say is read when nothing else waits (`drain`, called by the parse queue). Times are performance.now(), NaN: not yet.
 */
export class Exchange implements ExchangeSink {
  sentAt = Number.NaN;
  bodySentAt = Number.NaN;
  headersAt = Number.NaN;
  firstByteAt = Number.NaN;
  endedAt = Number.NaN;
  status: number | null = null;
  readonly reader: CompletionReader;

  readonly #queue: ParseQueue;
  readonly #onEnded: (exchange: Exchange, time: number) => void;
  readonly #scanner: SseScanner;
  /** Body bytes not yet read, and for each read of the socket where it ended and when it came. */
  readonly #unread = new GrowableBytes(2048);
  readonly #readEnds = new GrowableTimes(8);
  readonly #readTimes = new GrowableTimes(8);
  readonly #errorBody = new GrowableBytes(0);
  #isEventStream = true;
  #contentType = '';
  #retryAfterSeconds: number | null = null;
  #formatError: string | null = null;
  #ending: Ending | null = null;

  /** @param onEnded called once, at the socket's callback: the place is free, the content not yet read */
  constructor(expectedTokens: number, queue: ParseQueue, onEnded: (exchange: Exchange, time: number) => void) {
    this.reader = new CompletionReader(expectedTokens);
    this.#scanner = new SseScanner(this.reader);
    this.#queue = queue;
    this.#onEnded = onEnded;
  }

  get hasEnded(): boolean {
    return this.#ending !== null;
  }

  onSent(time: number): void {
    this.bodySentAt = time;
  }

  onHead(head: ResponseHead, time: number): void {
    this.headersAt = time;
    this.status = head.status;
    this.#contentType = head.headers.get('content-type') ?? '';
    const isSuccess = head.status >= 200 && head.status < 300;
    this.#isEventStream =
      isSuccess && (this.#contentType === '' || this.#contentType.toLowerCase().includes('text/event-stream'));
    const retryAfter = head.headers.get('retry-after') ?? '';
    this.#retryAfterSeconds = RETRY_AFTER_SECONDS.test(retryAfter) ? Number(retryAfter) : null;
  }

  onBody(bytes: Uint8Array, start: number, end: number, time: number): void {
    if (Number.isNaN(this.firstByteAt)) {
      this.firstByteAt = time;
    }
    if (!this.#isEventStream) {
      this.#errorBody.append(bytes, start, Math.min(end, start + MAX_ERROR_BODY_BYTES - this.#errorBody.length));
      return;
    }
    this.#unread.append(bytes, start, end);
    this.#readEnds.push(this.#unread.length);
    this.#readTimes.push(time);
    if (this.#unread.length > MAX_DEFERRED_BYTES) {
      this.drain();
    } else {
      this.#queue.add(this);
    }
  }

  onComplete(time: number): void {
    this.#end({ kind: 'complete' }, time);
  }

  onFailure(kind: 'connection' | 'format', message: string, time: number): void {
    this.fail({ reason: kind === 'format' ? 'invalid-stream' : 'connection', message }, time);
  }

  /** Ends it from outside: time-out, abort, no connection. The first ending counts. */
  fail(failure: RequestFailure, time: number): void {
    this.#end({ kind: 'failed', failure }, time);
  }

  /** Reads what came since the last time. */
  drain(): void {
    const { bytes } = this.#unread;
    let start = 0;
    try {
      for (let index = 0; index < this.#readEnds.length && this.#formatError === null; index += 1) {
        const end = this.#readEnds.at(index);
        this.#scanner.push(bytes, start, end, this.#readTimes.at(index));
        start = end;
      }
    } catch (error) {
      this.#noteFormatError(error);
    }
    this.#unread.clear();
    this.#readEnds.clear();
    this.#readTimes.clear();
  }

  /** Everything is read: text and outcome. Call once, after the last `drain`. */
  conclude(): { readonly text: string; readonly outcome: RequestOutcome } {
    try {
      if (this.#ending?.kind === 'complete' && this.#formatError === null) {
        this.#scanner.finish(this.endedAt);
      }
    } catch (error) {
      this.#noteFormatError(error);
    }
    let text = '';
    try {
      text = this.reader.text();
    } catch (error) {
      this.#noteFormatError(error);
    }
    const failure = this.#failure();
    return { text, outcome: failure === null ? { state: 'ok' } : { state: 'failed', ...failure } };
  }

  #end(ending: Ending, time: number): void {
    if (this.#ending !== null) {
      return;
    }
    this.#ending = ending;
    this.endedAt = time;
    this.#queue.add(this);
    this.#onEnded(this, time);
  }

  /** The first thing that went wrong, in the order in which it can. */
  #failure(): RequestFailure | null {
    const { reader } = this;
    const ended: RequestFailure | null =
      this.#ending?.kind === 'failed'
        ? this.#ending.failure
        : this.#ending === null
          ? { reason: 'aborted', message: 'It was not waited for.' }
          : null;
    if (this.status !== null && (this.status < 200 || this.status >= 300)) {
      return {
        reason: 'http-error',
        status: this.status,
        body: this.#errorBody.text(),
        retryAfterSeconds: this.#retryAfterSeconds,
      };
    }
    if (this.#formatError !== null) {
      return { reason: 'invalid-stream', message: this.#formatError };
    }
    if (reader.inBandError !== null) {
      return { reason: 'in-band-error', message: reader.inBandError };
    }
    if (ended !== null) {
      // All that was asked for had come before the connection went: what is missing is only its farewell.
      return ended.reason === 'connection' && reader.done ? this.#emptiness() : ended;
    }
    if (!this.#isEventStream) {
      return {
        reason: 'invalid-stream',
        message: `The answer is "${this.#contentType}", not an event stream: ${this.#errorBody.text().slice(0, 500)}`,
      };
    }
    if (!reader.done) {
      return {
        reason: 'truncated',
        message: `The stream ended without [DONE], after ${reader.tokenTimes.length} token events.`,
      };
    }
    return this.#emptiness();
  }

  #emptiness(): RequestFailure | null {
    return this.reader.tokenTimes.length === 0 || this.reader.completionTokens === 0
      ? { reason: 'no-tokens', message: 'The stream is complete and holds no generated token.' }
      : null;
  }

  #noteFormatError(error: unknown): void {
    if (!(error instanceof StreamFormatError)) {
      throw error;
    }
    this.#formatError ??= error.message;
  }
}

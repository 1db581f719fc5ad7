import type { ServerResponse } from 'node:http';
import type { Departure, Outbox } from '../outbox.js';

/** Where the parts of one answer go. */
export interface AnswerChannel {
  /** Events of a stream, blank lines included. */
  events(text: string): void;
  /** The last events of a stream. */
  lastEvents(text: string): void;
  /** A whole answer that is not streamed. */
  body(text: string): void;
  /** A whole answer with status 500. */
  failure(text: string): void;
  /** The connection ends in the middle of a stream. */
  breakOff(): void;
}

/**
 * The channel of a sound server. Parts are made ready as they come and leave with the outbox, so that between a token's
 * time and its bytes in the kernel lies hardly more than the system call.
 */
export class SoundChannel implements AnswerChannel, Departure {
  readonly #response: ServerResponse;
  readonly #outbox: Outbox;
  readonly #sendBody: (body: string, status: 200 | 500) => void;
  /** Chunks as HTTP frames them. */
  #chunks = '';
  #encoding: 'latin1' | 'utf8' = 'latin1';
  #end: (() => void) | null = null;
  #isWaiting = false;

  /** @param sendBody writes a whole answer with its head. */
  constructor(response: ServerResponse, outbox: Outbox, sendBody: (body: string, status: 200 | 500) => void) {
    this.#response = response;
    this.#outbox = outbox;
    this.#sendBody = sendBody;
  }

  events(text: string): void {
    const { socket, chunkedEncoding } = this.#response;
    // Behind an answer on the same connection that has not ended: node keeps it until then.
    if (socket === null) {
      this.#response.write(text);
      return;
    }
    const bytes = Buffer.byteLength(text);
    if (bytes !== text.length) this.#encoding = 'utf8';
    this.#chunks += chunkedEncoding ? `${bytes.toString(16)}\r\n${text}\r\n` : text;
    this.#wait();
  }

  lastEvents(text: string): void {
    this.#end = () => this.#response.end(text);
    this.#wait();
  }

  body(text: string): void {
    this.#end = () => this.#sendBody(text, 200);
    this.#wait();
  }

  failure(text: string): void {
    this.#end = () => this.#sendBody(text, 500);
    this.#wait();
  }

  breakOff(): void {
    this.#end = () => this.#response.socket?.end();
    this.#wait();
  }

  send(): void {
    this.#isWaiting = false;
    if (this.#chunks !== '') {
      // Past node's own framing, which takes as long for a token as all the rest.
      this.#response.socket?.write(this.#chunks, this.#encoding);
      this.#chunks = '';
    }
    this.#end?.();
  }

  #wait(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#outbox.add(this);
  }
}

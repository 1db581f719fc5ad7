import type { Trace, TraceFormat, TraceNotes, TraceRequest } from './trace.js';

/** What the readers share: notes, and times counted from the first request. */
export abstract class TraceSource implements Trace {
  readonly path: string;
  abstract readonly format: TraceFormat;
  abstract readonly hasTimes: boolean;
  abstract readonly blockTokens: number | null;
  readonly #notes = new Map<string, number>();
  #firstSeconds: number | null = null;
  #startedAt: number | null = null;

  constructor(path: string) {
    this.path = path;
  }

  get notes(): TraceNotes {
    return this.#notes;
  }

  get startedAt(): number | null {
    return this.#startedAt;
  }

  batches(): AsyncIterable<readonly TraceRequest[]> {
    this.#notes.clear();
    this.#firstSeconds = null;
    this.#startedAt = null;
    return this.read();
  }

  protected abstract read(): AsyncIterable<readonly TraceRequest[]>;

  protected note(sentence: string): void {
    this.#notes.set(sentence, (this.#notes.get(sentence) ?? 0) + 1);
  }

  /** @param isDate whether `seconds` counts from 1970 */
  protected sinceFirst(seconds: number, isDate: boolean): number {
    if (this.#firstSeconds === null) {
      this.#firstSeconds = seconds;
      this.#startedAt = isDate || seconds > 1e9 ? seconds : null;
    }
    return seconds - this.#firstSeconds;
  }
}

import { canRedraw } from '../tty-reporter.js';
import { ProgressLine } from './progress-line.js';

const PLAIN_INTERVAL_MS = 15_000;

/** One line that changes on a terminal; elsewhere a line now and then. */
export class RecordProgress {
  readonly #stream: NodeJS.WriteStream;
  readonly #line: ProgressLine;
  #nextPlainAt = performance.now() + PLAIN_INTERVAL_MS;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#line = new ProgressLine(stream);
  }

  update(text: string): void {
    this.#line.update(text);
    if (canRedraw(this.#stream) || performance.now() < this.#nextPlainAt) return;
    this.#nextPlainAt = performance.now() + PLAIN_INTERVAL_MS;
    this.#stream.write(`${text}\n`);
  }

  /** Before anything else is written. */
  clear(): void {
    this.#line.clear();
  }
}

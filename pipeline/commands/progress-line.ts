import { canRedraw } from '../tty-reporter.js';

const REDRAW_MS = 200;
const CLEAR_LINE = '\r\u001b[2K';

/** One line on a terminal that is overwritten, as wide as the terminal at most; nothing anywhere else. */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #isShown = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  update(text: string): void {
    const now = performance.now();
    if (!canRedraw(this.#stream) || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#isShown = true;
    this.#stream.write(`${CLEAR_LINE}${text.slice(0, this.#stream.columns - 1)}`);
  }

  /** Before anything else is written. */
  clear(): void {
    if (this.#isShown) this.#stream.write(CLEAR_LINE);
    this.#isShown = false;
    this.#drawnAt = Number.NEGATIVE_INFINITY;
  }
}

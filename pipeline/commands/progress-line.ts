const REDRAW_MS = 200;
const CLEAR_LINE = '\r\u001b[2K';

/** One line on a terminal that is overwritten; nothing anywhere else. */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  #drawnAt = 0;
  #isShown = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  update(text: string): void {
    const now = performance.now();
    if (!this.#stream.isTTY || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#isShown = true;
    this.#stream.write(`${CLEAR_LINE}${text}`);
  }

  /** Before anything else is written. */
  clear(): void {
    if (this.#isShown) this.#stream.write(CLEAR_LINE);
    this.#isShown = false;
  }
}

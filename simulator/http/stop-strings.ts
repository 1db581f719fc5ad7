export interface TextDelta {
  /** What may be shown now. */
  readonly text: string;
  /** The stop string that ended the answer, or null. */
  readonly stoppedBy: string | null;
}

/**
 * Finds stop strings in a growing answer. As long as the end of the text could still become a stop string, vLLM
 * holds back as many characters as the longest one has, less one.
 */
export class StopStringScanner {
  readonly #stops: readonly string[];
  readonly #include: boolean;
  readonly #holdBack: number;
  #text = '';
  #shown = 0;

  /** @param include the stop string itself is shown too. */
  constructor(stops: readonly string[], include: boolean) {
    this.#stops = stops;
    this.#include = include;
    this.#holdBack = include ? 0 : Math.max(0, ...stops.map((stop) => stop.length - 1));
  }

  /** @param last no more text follows, so nothing is held back. */
  push(added: string, last: boolean): TextDelta {
    if (this.#stops.length === 0) return { text: added, stoppedBy: null };
    const searchFrom = this.#text.length;
    this.#text += added;
    for (const stop of this.#stops) {
      const at = this.#text.indexOf(stop, Math.max(0, searchFrom - stop.length + 1));
      if (at >= 0) return { text: this.#show(this.#include ? at + stop.length : at), stoppedBy: stop };
    }
    return { text: this.#show(last ? this.#text.length : this.#text.length - this.#holdBack), stoppedBy: null };
  }

  #show(until: number): string {
    if (until <= this.#shown) return '';
    const text = this.#text.slice(this.#shown, until);
    this.#shown = until;
    return text;
  }
}

/** Prompts remembered; a benchmark's documents, not a service's traffic. */
const CAPACITY = 128;
/** Shorter texts are tokenised faster than they are worth remembering. */
const SHORTEST_TEXT = 2000;

/**
 * Remembers the token ids of long prompts that come again. The real server tokenises each time, and the profile's API
 * time says how long that takes; here only the real work is saved, so that it fits into that time at any SIM_SPEED.
 */
export class PromptCache {
  readonly #ids = new Map<string, readonly number[]>();

  /** @param key tells different ways to tokenise the same text apart. */
  get(key: string, text: string, tokenize: () => readonly number[]): readonly number[] {
    if (text.length < SHORTEST_TEXT) return tokenize();
    const name = key + text;
    const known = this.#ids.get(name);
    if (known !== undefined) {
      // Used again: to the end of the line.
      this.#ids.delete(name);
      this.#ids.set(name, known);
      return known;
    }
    const ids = tokenize();
    this.#ids.set(name, ids);
    if (this.#ids.size > CAPACITY) {
      const [oldest] = this.#ids.keys();
      if (oldest !== undefined) this.#ids.delete(oldest);
    }
    return ids;
  }
}

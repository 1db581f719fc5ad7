import { PythonRandom } from '../python-random.js';
import { ServerAnswerError } from '../server-answer.js';
import { detokenize, tokenize } from '../server-api.js';
import type { Target } from '../target.js';
import { SINGLE_TOKEN_WORDS } from '../traces/turn-text.js';

/** Vocabularies have their common words here; each portion is one call. */
const FIRST_ID = 1000;
const PORTIONS = 20;
const IDS_A_PORTION = 1000;
/** Fewer would be found again and again in one prompt, which is tokenised faster than a text is. */
const ENOUGH_WORDS = 1000;
/** A word that is one token with the blank before it. */
const WORD = /^ [a-z]{3,}$/;
const MOST_FITTINGS = 8;

/**
 * New prompts of random words, as long as asked for by the server's own tokenizer. The words are taken from the server's
 * vocabulary, where it tells it (POST /detokenize), else from a list of common ones.
 */
export class WordPrompts {
  readonly #target: Target;
  readonly #signal: AbortSignal;
  readonly #random: PythonRandom;
  readonly #words: readonly string[];

  private constructor(target: Target, words: readonly string[], seed: number, signal: AbortSignal) {
    this.#target = target;
    this.#words = words;
    this.#random = new PythonRandom(seed);
    this.#signal = signal;
  }

  /**
   * @param seed equal seeds give equal prompts, in the order in which they are asked for
   * @throws ServerUnreachableError; ServerAnswerError where the server offers no /tokenize
   */
  static async open(target: Target, seed: number, signal: AbortSignal): Promise<WordPrompts> {
    const found = await vocabularyWords(target, signal);
    return new WordPrompts(target, found.length >= ENOUGH_WORDS ? found : SINGLE_TOKEN_WORDS, seed, signal);
  }

  /** Different words that prompts are made of. */
  get distinctWords(): number {
    return this.#words.length;
  }

  /**
   * A text of so many tokens, those included that the tokenizer adds; off by a few where no whole words add up to it.
   * @throws ServerUnreachableError, ServerAnswerError
   */
  async text(tokens: number): Promise<string> {
    const words = this.#random.choices(this.#words, tokens);
    let best = { text: '', off: Number.POSITIVE_INFINITY };
    for (let fitting = 0; fitting < MOST_FITTINGS && best.off > 0; fitting += 1) {
      const text = textOf(words);
      const count = (await this.#encode(text, true)).length;
      const off = Math.abs(tokens - count);
      if (off < best.off) best = { text, off };
      const wanted = Math.max(1, Math.round((words.length * tokens) / Math.max(1, count)));
      const change = wanted - words.length || Math.sign(tokens - count);
      if (change > 0) words.push(...this.#random.choices(this.#words, change));
      else words.splice(Math.max(1, words.length + change));
    }
    return best.text;
  }

  /** The ids of such a text: exactly so many, without those that the tokenizer adds. */
  async ids(tokens: number): Promise<readonly number[]> {
    const ids: number[] = [];
    while (ids.length < tokens) {
      ids.push(...(await this.#encode(textOf(this.#random.choices(this.#words, tokens - ids.length)), false)));
    }
    return ids.slice(0, tokens);
  }

  #encode(text: string, addSpecialTokens: boolean): Promise<number[]> {
    return tokenize(this.#target, text, { addSpecialTokens, signal: this.#signal });
  }
}

/** The first word has a blank before it too: without one it would be another token. */
function textOf(words: readonly string[]): string {
  return ` ${words.join(' ')}`;
}

/** Words of which each is one token; none where the server does not decode. */
async function vocabularyWords(target: Target, signal: AbortSignal): Promise<readonly string[]> {
  const encode = (text: string): Promise<number[]> => tokenize(target, text, { signal, addSpecialTokens: false });
  const lineBreak = (await encode('\n')).at(-1) ?? 0;
  const words = new Set<string>();
  try {
    for (let portion = 0; portion < PORTIONS; portion += 1) {
      const first = FIRST_ID + portion * IDS_A_PORTION;
      const ids = Array.from({ length: IDS_A_PORTION }, (_, index) => [lineBreak, first + index]).flat();
      const found = (await detokenize(target, ids, { signal })).split('\n').filter((piece) => WORD.test(piece));
      // Not every token that a vocabulary holds is what its text is encoded to.
      const tokens = groupsBetween(await encode(found.join('\n')), lineBreak);
      if (tokens.length !== found.length) continue;
      for (const [index, word] of found.entries()) if (tokens[index] === 1) words.add(word.slice(1));
    }
  } catch (error) {
    if (!(error instanceof ServerAnswerError)) throw error;
  }
  return [...words];
}

/** How many ids stand between one separator and the next. */
function groupsBetween(ids: readonly number[], separator: number): readonly number[] {
  const counts = [0];
  for (const id of ids) {
    if (id === separator) counts.push(0);
    else counts.push((counts.pop() ?? 0) + 1);
  }
  return counts;
}

import type { Agent } from 'node:http';
import { PythonRandom } from '../python-random.js';
import { openAgent, ServerAnswerError } from '../server-answer.js';
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
  readonly #agent: Agent;
  readonly #signal: AbortSignal;
  readonly #random: PythonRandom;
  readonly #words: readonly string[];

  private constructor(target: Target, agent: Agent, words: readonly string[], seed: number, signal: AbortSignal) {
    this.#target = target;
    this.#agent = agent;
    this.#words = words;
    this.#random = new PythonRandom(seed);
    this.#signal = signal;
  }

  /**
   * @param seed equal seeds give equal prompts, in the order in which they are asked for
   * @throws ServerUnreachableError; ServerAnswerError where the server offers no /tokenize
   */
  static async open(target: Target, seed: number, signal: AbortSignal): Promise<WordPrompts> {
    const agent = await openAgent(target, 1);
    try {
      const found = await vocabularyWords(target, agent, signal);
      const words = found.length >= ENOUGH_WORDS ? found : SINGLE_TOKEN_WORDS;
      return new WordPrompts(target, agent, words, seed, signal);
    } catch (error) {
      agent.destroy();
      throw error;
    }
  }

  /** Different words that prompts are made of. */
  get distinctWords(): number {
    return this.#words.length;
  }

  /** A text of so many tokens, those included that the tokenizer adds; off by one or two where words do not add up. */
  async text(tokens: number): Promise<string> {
    const words = this.#random.choices(this.#words, tokens);
    for (let fitting = 0; fitting < MOST_FITTINGS; fitting += 1) {
      const text = textOf(words);
      const missing = tokens - (await this.#encode(text, true)).length;
      if (missing === 0 || words.length + missing < 1) return text;
      if (missing < 0) words.splice(missing);
      else words.push(...this.#random.choices(this.#words, missing));
    }
    return textOf(words);
  }

  /** The ids of such a text: exactly so many, without those that the tokenizer adds. */
  async ids(tokens: number): Promise<readonly number[]> {
    const ids: number[] = [];
    while (ids.length < tokens) {
      ids.push(...(await this.#encode(textOf(this.#random.choices(this.#words, tokens - ids.length)), false)));
    }
    return ids.slice(0, tokens);
  }

  close(): void {
    this.#agent.destroy();
  }

  #encode(text: string, addSpecialTokens: boolean): Promise<number[]> {
    return tokenize(this.#target, text, { addSpecialTokens, signal: this.#signal, agent: this.#agent });
  }
}

/** The first word has a blank before it too: without one it would be another token. */
function textOf(words: readonly string[]): string {
  return ` ${words.join(' ')}`;
}

/** Tokens told apart by line breaks between them; none where the server does not decode. */
async function vocabularyWords(target: Target, agent: Agent, signal: AbortSignal): Promise<readonly string[]> {
  const lineBreak = await tokenize(target, '\n', { addSpecialTokens: false, signal, agent });
  const words = new Set<string>();
  try {
    for (let portion = 0; portion < PORTIONS; portion += 1) {
      const first = FIRST_ID + portion * IDS_A_PORTION;
      const ids = Array.from({ length: IDS_A_PORTION }, (_, index) => [...lineBreak, first + index]).flat();
      const text = await detokenize(target, ids, { signal, agent });
      for (const piece of text.split('\n')) if (WORD.test(piece)) words.add(piece.slice(1));
    }
  } catch (error) {
    if (!(error instanceof ServerAnswerError)) throw error;
  }
  return [...words];
}

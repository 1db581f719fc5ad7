import { JsonText } from '../json-text.js';
import type { PromptTokenizer } from './prompt-tokenizer.js';

/** A random generator that padding is drawn from. */
export interface IntegerSource {
  /** `high` is not included. */
  integers(low: number, high: number, count: number): number[];
}

const MAX_RETRIES = 10;

/** One token sequence on its way to a text that encodes to as many tokens as wanted. */
export class RoundTrip {
  readonly #tokenizer: PromptTokenizer;
  readonly #target: number;
  #remaining = MAX_RETRIES;
  #started = false;
  #done = false;
  /** So many of the first tokens came out of the tokenizer. */
  #stable = 0;
  #json = async (): Promise<Buffer> => Buffer.from('""');
  tokens: number[];

  constructor(tokenizer: PromptTokenizer, tokens: number[], target: number) {
    this.#tokenizer = tokenizer;
    this.#target = target;
    this.tokens = tokens;
  }

  /** Until it fits, the retries are used up, or tokens must be drawn. */
  async advance(): Promise<void> {
    this.#started = true;
    while (!this.#done) {
      await this.#reencode();
      if (this.#remaining <= 0 || this.tokens.length === this.#target) {
        this.#done = true;
      } else if (this.tokens.length < this.#target) {
        return;
      } else {
        this.tokens.length = this.#target;
        this.#remaining -= 1;
      }
    }
  }

  async finish(random: IntegerSource): Promise<void> {
    if (!this.#started) {
      await this.advance();
    }
    while (!this.#done) {
      const padding = random.integers(0, this.#tokenizer.vocabSize, this.#target - this.tokens.length);
      for (const id of padding) {
        this.tokens.push(id);
      }
      this.#remaining -= 1;
      await this.advance();
    }
  }

  /** The text that `tokens` were encoded from last. */
  async json(): Promise<JsonText> {
    return new JsonText(await this.#json());
  }

  async #reencode(): Promise<void> {
    const { tokens } = this;
    const { direct } = this.#tokenizer;
    if (direct === undefined) {
      const text = await this.#tokenizer.decode(tokens);
      this.#json = async () => Buffer.from(JSON.stringify(text));
      this.tokens = await this.#tokenizer.encode(text);
    } else {
      const { kept, replaced } = await direct.reencode(tokens, this.#stable);
      this.#json = () => direct.decodeToJson(kept === 0 ? replaced : [...tokens.slice(0, kept), ...replaced]);
      this.#stable = Math.min(tokens.length, this.#target);
    }
  }
}

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
  #done = false;
  tokens: number[];
  text = '';

  constructor(tokenizer: PromptTokenizer, tokens: number[], target: number) {
    this.#tokenizer = tokenizer;
    this.#target = target;
    this.tokens = tokens;
  }

  /** Until it fits, the retries are used up, or tokens must be drawn. */
  async advance(): Promise<void> {
    while (!this.#done) {
      this.text = await this.#tokenizer.decode(this.tokens);
      this.tokens = await this.#tokenizer.encode(this.text);
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
    if (this.text === '') {
      await this.advance();
    }
    while (!this.#done) {
      const padding = random.integers(0, this.#tokenizer.vocabSize, this.#target - this.tokens.length);
      this.tokens = this.tokens.concat(padding);
      this.#remaining -= 1;
      await this.advance();
    }
  }
}

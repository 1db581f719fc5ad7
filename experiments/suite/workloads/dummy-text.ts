import { MersenneTwister } from '../../../workloads/mersenne-twister.js';

/** Common English words: with a blank before it each is one token of most vocabularies. */
const words = (
  'year people way day man thing woman life child world school family student group country problem hand part place ' +
  'case week company system program question work government number night point home water room mother area money ' +
  'story fact month lot right book eye job word business side kind head house friend father power hour game line ' +
  'end law car city name president team minute idea body back parent face level office door person art war history ' +
  'party result morning girl guy moment air teacher river road market dinner garden window summer winter letter ' +
  'paper doctor church street'
).split(' ');

/** Text without meaning, the same for the same seed; a shorter one is the beginning of a longer one. */
export class DummyText {
  readonly #random: MersenneTwister;
  readonly #tokensPerWord: number;
  readonly #words: string[] = [];

  constructor(seed: number, tokensPerWord: number) {
    this.#random = MersenneTwister.fromWord(seed >>> 0);
    this.#tokensPerWord = tokensPerWord;
  }

  /** The first `tokens` tokens of it. */
  ofLength(tokens: number): string {
    const count = Math.max(0, Math.round(tokens / this.#tokensPerWord));
    while (this.#words.length < count) {
      this.#words.push(words[Math.floor(this.#random.nextDouble() * words.length)] ?? 'year');
    }
    return this.#words.slice(0, count).join(' ');
  }
}

/** What a tokenizer is measured with, to know its tokens a word. */
export function sampleText(): { readonly text: string; readonly words: number } {
  return { text: new DummyText(0, 1).ofLength(1000), words: 1000 };
}

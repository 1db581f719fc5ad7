import type { GeneratorInput, Workload, WorkloadGenerator } from '../terms.js';
import { DummyText } from './dummy-text.js';
import { longestContext, singleRequests } from './single-requests.js';

/** VARY: contexts of a, 2a, 2a, 3a, 3a, ... tokens, each the beginning of the next one. */
export class VaryGenerator implements WorkloadGenerator {
  readonly #input: GeneratorInput;

  constructor(input: GeneratorInput) {
    this.#input = input;
  }

  generate(): Workload {
    const { configuration, seed, tokensPerWord } = this.#input;
    const text = new DummyText(seed, tokensPerWord);
    const longest = longestContext(this.#input);
    return singleRequests(this.#input, (index) => {
      const contextLength = Math.min(configuration.contextLength * (Math.floor((index + 1) / 2) + 1), longest);
      return { context: text.ofLength(contextLength), contextLength };
    });
  }
}

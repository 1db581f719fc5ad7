import type { GeneratorInput, Workload, WorkloadGenerator } from '../terms.js';
import { DummyText } from './dummy-text.js';
import { indexedQuestion, timestamps } from './schedule.js';

const defaultMaxTokens = 200;

/** VARY: contexts of a, 2a, 2a, 3a, 3a, ... tokens, each the beginning of the next one. */
export class VaryGenerator implements WorkloadGenerator {
  readonly #input: GeneratorInput;

  constructor(input: GeneratorInput) {
    this.#input = input;
  }

  generate(): Workload {
    const { configuration, seed, maxModelLength, tokensPerWord } = this.#input;
    const { queryLength, maxTokens = defaultMaxTokens } = configuration;
    const text = new DummyText(seed, tokensPerWord);
    const longest = maxModelLength - queryLength - maxTokens;
    return {
      requests: timestamps(configuration).map((timestamp, index) => {
        const contextLength = Math.min(configuration.contextLength * (Math.floor((index + 1) / 2) + 1), longest);
        return {
          timestamp,
          context: text.ofLength(contextLength),
          question: indexedQuestion(index, queryLength, tokensPerWord),
          contextLength,
          queryLength,
          maxTokens,
        };
      }),
    };
  }
}

import type { GeneratorInput, Workload, WorkloadGenerator } from '../terms.js';
import { DummyText } from './dummy-text.js';
import { indexedQuestion, timestamps } from './schedule.js';

const defaultMaxTokens = 200;

/** DUMMY: every request has the same context and another question. */
export class DummyGenerator implements WorkloadGenerator {
  readonly #input: GeneratorInput;

  constructor(input: GeneratorInput) {
    this.#input = input;
  }

  generate(): Workload {
    const { configuration, seed, maxModelLength, tokensPerWord } = this.#input;
    const { queryLength, maxTokens = defaultMaxTokens } = configuration;
    const contextLength = Math.min(configuration.contextLength, maxModelLength - queryLength - maxTokens);
    const context = new DummyText(seed, tokensPerWord).ofLength(contextLength);
    return {
      requests: timestamps(configuration).map((timestamp, index) => ({
        timestamp,
        context,
        question: indexedQuestion(index, queryLength, tokensPerWord),
        contextLength,
        queryLength,
        maxTokens,
      })),
    };
  }
}

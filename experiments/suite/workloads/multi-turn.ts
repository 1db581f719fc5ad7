import type { GeneratorInput, Workload, WorkloadGenerator } from '../terms.js';
import { DummyText } from './dummy-text.js';
import { indexedQuestion, timestamps } from './schedule.js';

const defaultMaxTokens = 2000;

/**
 * MULTI: one conversation. Every request has all earlier questions and answers in front of it, so that its context grows
 * by what was generated; only the first one brings `contextLength` tokens of its own.
 */
export class MultiTurnGenerator implements WorkloadGenerator {
  readonly #input: GeneratorInput;

  constructor(input: GeneratorInput) {
    this.#input = input;
  }

  generate(): Workload {
    const { configuration, seed, tokensPerWord } = this.#input;
    const { queryLength, contextLength, maxTokens = defaultMaxTokens } = configuration;
    const context = new DummyText(seed, tokensPerWord).ofLength(contextLength);
    return {
      requests: timestamps(configuration).map((timestamp, index) => ({
        timestamp,
        context: index === 0 ? context : '',
        question: indexedQuestion(index, queryLength, tokensPerWord),
        contextLength: index === 0 ? contextLength : 0,
        queryLength,
        maxTokens,
        conversation: 'conversation-0',
      })),
    };
  }
}

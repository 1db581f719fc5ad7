import { MersenneTwister } from '../../../workloads/mersenne-twister.js';
import type { GeneratorInput, Workload, WorkloadGenerator } from '../terms.js';
import { DummyText } from './dummy-text.js';
import { indexedQuestion, timestamps } from './schedule.js';

const defaultMaxTokens = 200;
const defaultPool = 4;

/**
 * PREFIX_REUSE: a few contexts (system prompts, manuals), each asked about again and again in random order. The first
 * requests bring every context once.
 */
export class PrefixReuseGenerator implements WorkloadGenerator {
  readonly #input: GeneratorInput;

  constructor(input: GeneratorInput) {
    this.#input = input;
  }

  generate(): Workload {
    const { configuration, seed, maxModelLength, tokensPerWord } = this.#input;
    const { queryLength, maxTokens = defaultMaxTokens, pool = defaultPool } = configuration;
    const contextLength = Math.min(configuration.contextLength, maxModelLength - queryLength - maxTokens);
    const contexts = Array.from({ length: pool }, (_, index) =>
      new DummyText(seed + 1 + index, tokensPerWord).ofLength(contextLength),
    );
    const random = MersenneTwister.fromWord(seed >>> 0);
    return {
      requests: timestamps(configuration).map((timestamp, index) => ({
        timestamp,
        context: contexts[index < pool ? index : Math.floor(random.nextDouble() * pool)] ?? '',
        question: indexedQuestion(index, queryLength, tokensPerWord),
        contextLength,
        queryLength,
        maxTokens,
      })),
    };
  }
}

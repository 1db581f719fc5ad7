import { MersenneTwister } from '../../../workloads/mersenne-twister.js';
import type { GeneratorInput, Workload, WorkloadGenerator } from '../terms.js';
import { DummyText } from './dummy-text.js';
import { longestContext, singleRequests } from './single-requests.js';

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
    const { configuration, seed, tokensPerWord } = this.#input;
    const { pool = defaultPool } = configuration;
    const contextLength = Math.min(configuration.contextLength, longestContext(this.#input));
    const contexts = Array.from({ length: pool }, (_, index) =>
      new DummyText(seed + 1 + index, tokensPerWord).ofLength(contextLength),
    );
    const random = MersenneTwister.fromWord(seed >>> 0);
    return singleRequests(this.#input, (index) => ({
      context: contexts[index < pool ? index : Math.floor(random.nextDouble() * pool)] ?? '',
      contextLength,
    }));
  }
}

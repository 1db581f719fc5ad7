import type { GeneratorInput, Workload, WorkloadGenerator } from '../terms.js';
import { DummyText } from './dummy-text.js';
import { longestContext, singleRequests } from './single-requests.js';

/** DUMMY: every request has the same context and another question. */
export class DummyGenerator implements WorkloadGenerator {
  readonly #input: GeneratorInput;

  constructor(input: GeneratorInput) {
    this.#input = input;
  }

  generate(): Workload {
    const { configuration, seed, tokensPerWord } = this.#input;
    const contextLength = Math.min(configuration.contextLength, longestContext(this.#input));
    const context = new DummyText(seed, tokensPerWord).ofLength(contextLength);
    return singleRequests(this.#input, () => ({ context, contextLength }));
  }
}

import { MersenneTwister } from '../../../workloads/mersenne-twister.js';
import type { GeneratorInput, Workload, WorkloadGenerator } from '../terms.js';
import { DummyText } from './dummy-text.js';
import { longestContext, singleRequests } from './single-requests.js';

const defaultPool = 8;
const retrieved = 3;

/**
 * RAG: each request has three documents out of a pool in front of its question, the likeliest one first; popular
 * documents come again often, so that beginnings are shared, but seldom whole contexts.
 */
export class RagGenerator implements WorkloadGenerator {
  readonly #input: GeneratorInput;

  constructor(input: GeneratorInput) {
    this.#input = input;
  }

  generate(): Workload {
    const { configuration, seed, tokensPerWord } = this.#input;
    const { pool = defaultPool } = configuration;
    const contextLength = Math.min(configuration.contextLength, longestContext(this.#input));
    const count = Math.min(retrieved, pool);
    const documents = Array.from({ length: pool }, (_, index) =>
      new DummyText(seed + 1 + index, tokensPerWord).ofLength(contextLength / count),
    );
    const random = MersenneTwister.fromWord(seed >>> 0);
    return singleRequests(this.#input, () => ({
      context: retrieve(documents, count, random).join('\n\n'),
      contextLength,
    }));
  }
}

/** Distinct documents, drawn with weights 1, 1/2, 1/3, ... (Zipf). */
function retrieve(documents: readonly string[], count: number, random: MersenneTwister): readonly string[] {
  const left = documents.map((document, index) => ({ document, weight: 1 / (index + 1) }));
  const chosen: string[] = [];
  while (chosen.length < count) {
    let point = random.nextDouble() * left.reduce((sum, { weight }) => sum + weight, 0);
    const position = left.findIndex(({ weight }) => {
      point -= weight;
      return point < 0;
    });
    const [taken] = left.splice(position < 0 ? left.length - 1 : position, 1);
    if (taken === undefined) break;
    chosen.push(taken.document);
  }
  return chosen;
}

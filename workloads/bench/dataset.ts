import type { MersenneTwister } from '../mersenne-twister.js';
import { PythonRandom } from '../python-random.js';
import type { BenchPrompt } from './options.js';

export interface DatasetProgress {
  readonly signal: AbortSignal;
  onPrompt?(done: number, total: number): void;
}

/** What a data set gives. */
export interface SampledDataset {
  readonly prompts: readonly BenchPrompt[];
  /** Where the data set says when each request is due: seconds after the start. */
  readonly timestamps?: readonly number[];
  /** Where the data set drew from numpy's global generator: arrivals draw on from there. */
  readonly legacyTwister?: MersenneTwister;
  /** Where the data set has warm-ups of its own. */
  readonly warmupPrompts?: readonly BenchPrompt[];
}

/** Too few prompts in a file are repeated at random, as `maybe_oversample_requests` of vLLM 0.32.0 does. */
export function oversample(prompts: readonly BenchPrompt[], count: number, seed: number): BenchPrompt[] {
  if (prompts.length >= count) {
    return [...prompts];
  }
  if (prompts.length === 0) {
    throw new RangeError('The data set holds no prompt that can be used.');
  }
  const random = new PythonRandom(seed);
  return [...prompts, ...Array.from({ length: count - prompts.length }, () => random.choice(prompts))];
}

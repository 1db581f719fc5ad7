import { PythonRandom } from '../python-random.js';
import type { DatasetProgress, SampledDataset } from './dataset.js';
import { LegacyRandom } from './legacy-random.js';
import type { BenchPrompt } from './options.js';
import type { PromptTokenizer } from './prompt-tokenizer.js';
import { RoundTrip } from './round-trip.js';

/** Shape of the data set; defaults as in `vllm bench serve`. */
export interface PrefixRepetitionOptions {
  readonly name: 'prefix_repetition';
  /** Default 256. */
  readonly prefixLen?: number;
  /** Default 256. */
  readonly suffixLen?: number;
  /** Default 10. Prompts a prefix: `numPrompts / numPrefixes`, rounded down. */
  readonly numPrefixes?: number;
  /** Default 128. */
  readonly outputLen?: number;
  /** Default true. */
  readonly shuffle?: boolean;
}

/**
 * The prompts of `--dataset-name prefix_repetition` (vLLM 0.32.0, `PrefixRepetitionRandomDataset.sample`): some
 * prefixes, each followed by many suffixes, shuffled.
 * @throws RangeError when there are more prefixes than prompts
 */
export async function samplePrefixRepetition(
  tokenizer: PromptTokenizer,
  dataset: PrefixRepetitionOptions,
  options: { readonly numPrompts: number; readonly seed: number },
  progress: DatasetProgress,
): Promise<SampledDataset> {
  const numPrefixes = dataset.numPrefixes ?? 10;
  const outputLen = dataset.outputLen ?? 128;
  const perPrefix = Math.floor(options.numPrompts / numPrefixes);
  if (perPrefix < 1) {
    throw new RangeError(`${options.numPrompts} prompts are fewer than ${numPrefixes} prefixes: ask for more prompts.`);
  }
  const random = new LegacyRandom(options.seed);
  const tokensOf = async (length: number): Promise<number[]> => {
    const trip = new RoundTrip(tokenizer, random.integers(0, tokenizer.vocabSize, length), length);
    await trip.finish(random);
    return trip.tokens;
  };
  const prompts: BenchPrompt[] = [];
  for (let prefixIndex = 0; prefixIndex < numPrefixes; prefixIndex += 1) {
    const prefix = await tokensOf(dataset.prefixLen ?? 256);
    for (let count = 0; count < perPrefix; count += 1) {
      progress.signal.throwIfAborted();
      const tokens = [...prefix, ...(await tokensOf(dataset.suffixLen ?? 256))];
      prompts.push({ text: await tokenizer.decode(tokens), promptLen: tokens.length, outputLen });
      progress.onPrompt?.(prompts.length, perPrefix * numPrefixes);
    }
  }
  if (dataset.shuffle ?? true) {
    new PythonRandom(options.seed).shuffle(prompts);
  }
  return { prompts, legacyTwister: random.twister };
}

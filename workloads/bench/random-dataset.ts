import type { DatasetProgress } from './dataset.js';
import { EncodedPrompt } from './encoded-prompt.js';
import { NumpyGenerator } from './numpy-generator.js';
import type { BenchPrompt, RandomDatasetOptions } from './options.js';
import type { PromptTokenizer } from './prompt-tokenizer.js';
import { RoundTrip } from './round-trip.js';

/** A prompt's round trip may run ahead of its turn by so many prompts. */
const RUN_AHEAD = 32;

/**
 * The prompts of `vllm bench serve --dataset-name random` (0.32.0, `RandomDataset.sample`): same tokenizer, seed and
 * options, same prompts. Lengths, offsets, prefix and padding come from one generator in that order; each prompt is
 * decoded and encoded until its length is right, up to ten times.
 * @throws RangeError for options that leave nothing to send
 */
export async function sampleRandomDataset(
  tokenizer: PromptTokenizer,
  options: RandomDatasetOptions,
  progress: DatasetProgress,
): Promise<BenchPrompt[]> {
  const { numPrompts } = options;
  const given = options.randomRangeRatio ?? 0;
  const ratio = typeof given === 'number' ? { input: given, output: given } : given;
  const prefixLen = options.randomPrefixLen ?? 0;
  const outputLen = options.randomOutputLen ?? 128;
  const inputLen = Math.max(0, (options.randomInputLen ?? 1024) - tokenizer.addedTokens);
  checkOptions(numPrompts, ratio, prefixLen, inputLen, outputLen);

  const random = new NumpyGenerator(options.seed ?? 0);
  const inputLens = random.integers(
    Math.floor(inputLen * (1 - ratio.input)),
    Math.ceil(inputLen * (1 + ratio.input)) + 1,
    numPrompts,
  );
  const outputLens = random.integers(
    Math.max(1, Math.floor(outputLen * (1 - ratio.output))),
    Math.max(1, Math.ceil(outputLen * (1 + ratio.output))) + 1,
    numPrompts,
  );
  const offsets = random.integers(0, tokenizer.vocabSize, numPrompts);
  const allowed = allowedIds(tokenizer);
  const prefix = await samplePrefix(tokenizer, random, allowed, prefixLen);

  const attempt = (index: number): RoundTrip => {
    const length = inputLens[index] ?? 0;
    const first = (offsets[index] ?? 0) + index;
    const tokens = new Array<number>(prefix.length + length);
    for (let step = 0; step < tokens.length; step += 1) {
      const inner = step - prefix.length;
      tokens[step] = (inner < 0 ? prefix[step] : allowed[(first + inner) % allowed.length]) ?? 0;
    }
    return new RoundTrip(tokenizer, tokens, prefixLen + length);
  };
  const prompts: BenchPrompt[] = [];
  for await (const trip of inOrder(numPrompts, attempt, { tokenizer, random, signal: progress.signal })) {
    const outputLen = outputLens[prompts.length] ?? 1;
    prompts.push(new EncodedPrompt(await trip.json(), trip.tokens.length, outputLen));
    progress.onPrompt?.(prompts.length, numPrompts);
  }
  return prompts;
}

/** Whether a text is among those of a data set: warm-ups must not fill the cache for it. */
export function sharesPrompt(prompts: readonly BenchPrompt[], others: readonly BenchPrompt[]): boolean {
  const beginning = (prompt: BenchPrompt): string => prompt.text.slice(0, 64);
  const known = new Set(prompts.map(beginning));
  return others.some((prompt) => known.has(beginning(prompt)));
}

function checkOptions(
  numPrompts: number,
  ratio: { readonly input: number; readonly output: number },
  prefixLen: number,
  inputLen: number,
  outputLen: number,
): void {
  if (!Number.isInteger(numPrompts) || numPrompts < 1) {
    throw new RangeError(`numPrompts must be a whole number of at least 1, not "${numPrompts}".`);
  }
  for (const value of [ratio.input, ratio.output]) {
    if (!(value >= 0 && value < 1)) {
      throw new RangeError(`randomRangeRatio must be at least 0 and below 1, not "${value}".`);
    }
  }
  for (const [name, value] of [
    ['randomPrefixLen', prefixLen],
    ['randomInputLen', inputLen],
    ['randomOutputLen', outputLen],
  ] as const) {
    if (!Number.isInteger(value) || value < 0) {
      throw new RangeError(`${name} must be a whole number of at least 0, not "${value}".`);
    }
  }
  if (prefixLen + Math.floor(inputLen * (1 - ratio.input)) < 1) {
    throw new RangeError('randomInputLen and randomPrefixLen leave no token to send: increase one of them.');
  }
}

function allowedIds(tokenizer: PromptTokenizer): number[] {
  const allowed: number[] = [];
  for (let id = 0; id < tokenizer.vocabSize; id += 1) {
    if (!tokenizer.specialIds.has(id)) {
      allowed.push(id);
    }
  }
  return allowed;
}

async function samplePrefix(
  tokenizer: PromptTokenizer,
  random: NumpyGenerator,
  allowed: readonly number[],
  prefixLen: number,
): Promise<number[]> {
  if (prefixLen === 0) {
    return [];
  }
  const drawn = random.integers(0, allowed.length, prefixLen).map((index) => allowed[index] ?? 0);
  const trip = new RoundTrip(tokenizer, drawn, prefixLen);
  await trip.finish(random);
  return trip.tokens;
}

/**
 * Round trips overlap as far as the tokenizer allows; whatever draws random padding waits for its turn, because all
 * prompts share one generator.
 */
async function* inOrder(
  count: number,
  attempt: (index: number) => RoundTrip,
  { tokenizer, random, signal }: { tokenizer: PromptTokenizer; random: NumpyGenerator; signal: AbortSignal },
): AsyncGenerator<RoundTrip> {
  const ahead = tokenizer.concurrency > 1 ? RUN_AHEAD : 1;
  const running: Promise<RoundTrip>[] = [];
  let begun = 0;
  for (let index = 0; index < count; index += 1) {
    signal.throwIfAborted();
    for (; begun < Math.min(index + ahead, count); begun += 1) {
      const trip = attempt(begun);
      const advancing = trip.advance().then(() => trip);
      advancing.catch(() => undefined);
      running.push(advancing);
    }
    const trip = await running.shift();
    if (trip !== undefined) {
      await trip.finish(random);
      yield trip;
    }
  }
}

import { z } from 'zod';
import { PythonRandom } from '../python-random.js';
import { jsonArrayItems } from '../traces/json-array-items.js';
import { type DatasetProgress, oversample, type SampledDataset } from './dataset.js';
import type { BenchPrompt } from './options.js';
import type { PromptTokenizer } from './prompt-tokenizer.js';

export interface ShareGptOptions {
  readonly name: 'sharegpt';
  /** A JSON file: a list of `{conversations: [{value}, {value}, ...]}`. */
  readonly path: string;
  /** Tokens to generate; default: as many as the recorded answer has. */
  readonly outputLen?: number;
  /** Default true. */
  readonly shuffle?: boolean;
  /** Repeat prompts where the file has too few; default true. */
  readonly oversample?: boolean;
}

const MIN_LEN = 4;
const MAX_PROMPT_LEN = 1024;
const MAX_TOTAL_LEN = 2048;

const turnSchema = z.looseObject({ value: z.string() });
const entrySchema = z.looseObject({ conversations: z.array(z.unknown()).optional() });

/**
 * The prompts of `--dataset-name sharegpt` (vLLM 0.32.0, `ShareGPTDataset`): first turns of shuffled conversations,
 * very short and very long ones left out.
 * @throws RangeError when the file is not such a list, or nothing in it can be used
 */
export async function sampleShareGpt(
  tokenizer: PromptTokenizer,
  dataset: ShareGptOptions,
  options: { readonly numPrompts: number; readonly seed: number },
  progress: DatasetProgress,
): Promise<SampledDataset> {
  const { outputLen, path } = dataset;
  const conversations = (await readConversations(path)).filter((turns) => turns.length >= 2);
  if (dataset.shuffle ?? true) {
    new PythonRandom(options.seed).shuffle(conversations);
  }
  const lengthOf = async (text: string): Promise<number> =>
    (await tokenizer.encode(text)).length + tokenizer.addedTokens;
  const prompts: BenchPrompt[] = [];
  for (const turns of conversations) {
    if (prompts.length >= options.numPrompts) {
      break;
    }
    progress.signal.throwIfAborted();
    const [question, answer] = z.tuple([turnSchema, turnSchema]).parse(turns.slice(0, 2));
    const promptLen = await lengthOf(question.value);
    const length = outputLen ?? (await lengthOf(answer.value));
    const isTooShort = promptLen < MIN_LEN || (outputLen === undefined && length < MIN_LEN);
    if (!isTooShort && promptLen <= MAX_PROMPT_LEN && promptLen + length <= MAX_TOTAL_LEN) {
      prompts.push({ text: question.value, promptLen, outputLen: length });
      progress.onPrompt?.(prompts.length, options.numPrompts);
    }
  }
  if (prompts.length === 0) {
    throw new RangeError(`"${path}" holds no conversation of a usable length.`);
  }
  return {
    prompts: (dataset.oversample ?? true) ? oversample(prompts, options.numPrompts, options.seed) : prompts,
  };
}

async function readConversations(path: string): Promise<unknown[][]> {
  const all: unknown[][] = [];
  for await (const items of jsonArrayItems(path)) {
    for (const { value, line } of items) {
      const result = entrySchema.safeParse(value);
      if (!result.success) {
        throw new RangeError(`"${path}", line ${line}, is no conversation: ${z.prettifyError(result.error)}`);
      }
      if (result.data.conversations !== undefined) {
        all.push(result.data.conversations);
      }
    }
  }
  return all;
}

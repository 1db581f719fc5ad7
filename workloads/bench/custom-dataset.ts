import { z } from 'zod';
import { PythonRandom } from '../python-random.js';
import { type DatasetProgress, oversample, type SampledDataset } from './dataset.js';
import { readJsonLines } from './json-lines.js';
import type { BenchPrompt } from './options.js';
import type { PromptTokenizer } from './prompt-tokenizer.js';

export interface CustomDatasetOptions {
  readonly name: 'custom';
  /** JSONL: `{"prompt": "...", "output_tokens": 10}` a line. */
  readonly path: string;
  /** Tokens to generate; -1: what each line says; default 256. */
  readonly outputLen?: number;
  /** Default true. */
  readonly shuffle?: boolean;
  /** Repeat prompts where the file has too few; default true. */
  readonly oversample?: boolean;
  /** Wrap each prompt in the model's chat template; default true. */
  readonly chatTemplate?: boolean;
  /** Further variables of the chat template. */
  readonly chatTemplateKwargs?: Readonly<Record<string, unknown>>;
}

const DEFAULT_OUTPUT_LEN = 256;
const rowSchema = z.looseObject({ prompt: z.string(), output_tokens: z.coerce.number().int().min(0).optional() });

/**
 * The prompts of `--dataset-name custom` (vLLM 0.32.0, `CustomDataset`).
 * @param options.numPrompts 0: all of the file
 * @throws RangeError for a line without a prompt, a missing `output_tokens`, a tokenizer without a chat template
 */
export async function sampleCustom(
  tokenizer: PromptTokenizer,
  dataset: CustomDatasetOptions,
  options: { readonly numPrompts: number; readonly seed: number },
  progress: DatasetProgress,
): Promise<SampledDataset> {
  const rows = await readJsonLines(dataset.path, rowSchema);
  if (dataset.shuffle ?? true) {
    new PythonRandom(options.seed).shuffle(rows);
  }
  const count = options.numPrompts > 0 ? options.numPrompts : rows.length;
  const outputLen = dataset.outputLen ?? DEFAULT_OUTPUT_LEN;
  const prompts: BenchPrompt[] = [];
  for (const row of rows.slice(0, count)) {
    progress.signal.throwIfAborted();
    const length = outputLen === -1 ? row.output_tokens : outputLen;
    if (length === undefined) {
      throw new RangeError(`"${dataset.path}" has a line without "output_tokens": give --custom-output-len.`);
    }
    const text =
      (dataset.chatTemplate ?? true)
        ? await chatText(tokenizer, row.prompt, dataset.chatTemplateKwargs ?? {})
        : row.prompt;
    const promptLen = (await tokenizer.encode(text)).length + tokenizer.addedTokens;
    prompts.push({ text, promptLen, outputLen: length });
    progress.onPrompt?.(prompts.length, count);
  }
  return { prompts: (dataset.oversample ?? true) ? oversample(prompts, count, options.seed) : prompts };
}

async function chatText(
  tokenizer: PromptTokenizer,
  prompt: string,
  kwargs: Readonly<Record<string, unknown>>,
): Promise<string> {
  if (tokenizer.renderChat === undefined) {
    throw new RangeError(`The tokenizer "${tokenizer.name}" has no chat template: give --skip-chat-template.`);
  }
  return tokenizer.renderChat(prompt, kwargs);
}

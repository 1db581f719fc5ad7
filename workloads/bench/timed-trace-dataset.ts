import { z } from 'zod';
import { PythonRandom } from '../python-random.js';
import type { DatasetProgress, SampledDataset } from './dataset.js';
import { readJsonLines } from './json-lines.js';
import type { BenchPrompt } from './options.js';
import type { PromptTokenizer } from './prompt-tokenizer.js';
import { pythonHash32 } from './python-hash.js';

/** A trace such as Mooncake's: `{"timestamp": 27, "input_length": 6755, "output_length": 500, "hash_ids": [0, 1]}`. */
export interface TimedTraceOptions {
  readonly name: 'timed_trace';
  /** JSONL. */
  readonly path: string;
  /** Tokens that one hash id stands for: 512 in Mooncake's traces; default 16. */
  readonly chunkHashSize?: number;
  /** Seconds a unit of the timestamps: 0.001 where they are milliseconds; default 1. */
  readonly secMultiplier?: number;
  /** Default `timestamp`. */
  readonly timestampLabel?: string;
  /** Default `input_length`. */
  readonly inputLengthLabel?: string;
  /** Default `output_length`. */
  readonly outputLengthLabel?: string;
  /** Default `hash_ids`. */
  readonly hashIdsLabel?: string;
  /** Send at the trace's times; default true. */
  readonly selfTimed?: boolean;
}

const hashIdsSchema = z.array(z.union([z.number(), z.string()])).default([]);

/**
 * The prompts of `--dataset-name timed_trace` (vLLM 0.32.0, `TimedTrace`), as token ids: equal hash ids give equal
 * tokens. There the tokens depend on PYTHONHASHSEED, random unless set; here they are those of PYTHONHASHSEED=0.
 * @throws RangeError for a line that lacks a field
 */
export async function sampleTimedTrace(
  tokenizer: PromptTokenizer,
  dataset: TimedTraceOptions,
  options: { readonly numPrompts: number },
  progress: DatasetProgress,
): Promise<SampledDataset> {
  const chunkSize = dataset.chunkHashSize ?? 16;
  const labels = {
    timestamp: dataset.timestampLabel ?? 'timestamp',
    input: dataset.inputLengthLabel ?? 'input_length',
    output: dataset.outputLengthLabel ?? 'output_length',
    hashIds: dataset.hashIdsLabel ?? 'hash_ids',
  };
  const schema = z.looseObject({
    [labels.timestamp]: z.coerce.number(),
    [labels.input]: z.int().min(0),
    [labels.output]: z.int().min(0),
  });
  const rows = (await readJsonLines(dataset.path, schema)).slice(0, options.numPrompts);
  if (rows.length === 0) {
    throw new RangeError(`"${dataset.path}" holds no request.`);
  }
  const chunks = new ChunkTokens(tokenizer);
  const prompts: BenchPrompt[] = [];
  const timestamps: number[] = [];
  for (const row of rows) {
    progress.signal.throwIfAborted();
    const tokenIds: number[] = [];
    let missing = Number(row[labels.input]);
    for (const hashId of hashIdsSchema.parse(row[labels.hashIds])) {
      const size = Math.min(chunkSize, missing);
      for (const id of chunks.of(hashId, size)) {
        tokenIds.push(id);
      }
      missing -= size;
      if (missing <= 0) {
        break;
      }
    }
    prompts.push({ text: '', tokenIds, promptLen: tokenIds.length, outputLen: Number(row[labels.output]) });
    timestamps.push(Number(row[labels.timestamp]) * (dataset.secMultiplier ?? 1));
    progress.onPrompt?.(prompts.length, rows.length);
  }
  return (dataset.selfTimed ?? true) ? { prompts, timestamps } : { prompts };
}

/** The tokens that stand for a hash id: any of the vocabulary but the special ones. */
class ChunkTokens {
  readonly #ids: readonly number[];
  readonly #known = new Map<string, readonly number[]>();

  constructor(tokenizer: PromptTokenizer) {
    const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id);
    const added = tokenizer.addedIds.filter((id) => id >= tokenizer.vocabSize);
    this.#ids = [...ids, ...added.sort((a, b) => a - b)].filter((id) => !tokenizer.specialIds.has(id));
  }

  of(hashId: number | string, size: number): readonly number[] {
    const key = `${hashId}:${size}`;
    const known = this.#known.get(key) ?? new PythonRandom(pythonHash32(key)).choices(this.#ids, size);
    this.#known.set(key, known);
    return known;
  }
}

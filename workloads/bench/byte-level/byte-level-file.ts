import { z } from 'zod';
import type { TextSplit } from './split-pattern.js';

const byteLevelSchema = z.looseObject({
  type: z.literal('ByteLevel'),
  add_prefix_space: z.literal(false).default(false),
  use_regex: z.boolean().default(true),
});
const splitSchema = z.looseObject({
  type: z.literal('Split'),
  pattern: z.strictObject({ Regex: z.string() }),
  behavior: z.literal('Isolated'),
  invert: z.literal(false).default(false),
});
const none = z.union([z.literal(''), z.null()]).optional();
const off = z.literal(false).optional();
const never = z.union([z.literal(0), z.null()]).optional();

/** A tokenizer.json whose every part is one that a byte-level BPE in the manner of GPT-2 has; anything else does not fit. */
const fileSchema = z.looseObject({
  normalizer: z.looseObject({ type: z.literal('NFC') }).nullable(),
  pre_tokenizer: z.union([
    byteLevelSchema,
    z.looseObject({
      type: z.literal('Sequence'),
      pretokenizers: z.array(z.union([splitSchema, byteLevelSchema])),
    }),
  ]),
  decoder: z.looseObject({ type: z.literal('ByteLevel') }),
  model: z.looseObject({
    type: z.literal('BPE').optional(),
    dropout: never,
    continuing_subword_prefix: none,
    continuing_subword_suffix: none,
    end_of_word_suffix: none,
    byte_fallback: off,
    ignore_merges: z.boolean().nullish(),
    vocab: z.custom<Readonly<Record<string, number>>>((value) => typeof value === 'object' && !Array.isArray(value)),
    merges: z.custom<readonly unknown[]>(Array.isArray),
  }),
  added_tokens: z
    .array(
      z.looseObject({
        id: z.int().min(0),
        content: z.string().min(1),
        single_word: off,
        lstrip: off,
        rstrip: off,
        normalized: z.boolean().optional(),
        special: z.boolean().optional(),
      }),
    )
    .default([]),
});

const configSchema = z.looseObject({ remove_space: off, do_lowercase_and_remove_accent: off });

/** Tokens and their ids. */
export type VocabularyEntries = readonly (readonly [string, number])[];

export interface ByteLevelFile {
  readonly isNormalized: boolean;
  /** One after the other. */
  readonly splits: readonly TextSplit[];
  readonly vocabulary: Readonly<Record<string, number>>;
  /** The same. */
  readonly tokens: VocabularyEntries;
  readonly merges: readonly (readonly [string, string])[];
  /** A piece that is a token as it stands is not merged together. */
  readonly ignoreMerges: boolean;
  readonly addedTokens: readonly { readonly id: number; readonly content: string; readonly isNormalized: boolean }[];
}

/** What such a tokenizer consists of; null: it is of another kind. @param tokens those of its vocabulary */
export function readByteLevelFile(
  tokenizer: unknown,
  config: unknown,
  tokens: VocabularyEntries,
): ByteLevelFile | null {
  const file = fileSchema.safeParse(tokenizer);
  if (!file.success || !configSchema.safeParse(config).success) {
    return null;
  }
  const { normalizer, pre_tokenizer: preTokenizer, model, added_tokens: addedTokens } = file.data;
  const steps = preTokenizer.type === 'Sequence' ? preTokenizer.pretokenizers : [preTokenizer];
  // Behind the step that turns text into bytes nothing may cut it up any more.
  const merges = model.merges.flatMap((merge) => pairOf(merge));
  if (
    steps.findIndex(({ type }) => type === 'ByteLevel') !== steps.length - 1 ||
    merges.length !== model.merges.length
  ) {
    return null;
  }
  return {
    isNormalized: normalizer !== null,
    splits: steps.flatMap((step): readonly TextSplit[] => {
      if (step.type === 'Split') {
        return [{ regex: step.pattern.Regex }];
      }
      return step.use_regex ? ['gpt-2'] : [];
    }),
    vocabulary: model.vocab,
    tokens,
    merges,
    ignoreMerges: model.ignore_merges ?? false,
    addedTokens: addedTokens.map(({ id, content, normalized, special }) => ({
      id,
      content,
      isNormalized: normalizer !== null && (normalized ?? special !== true),
    })),
  };
}

/** `["a", "b"]`, in older files `"a b"`. */
function pairOf(merge: unknown): [[string, string]] | [] {
  const [left, right, ...more]: unknown[] =
    typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
  return typeof left === 'string' && typeof right === 'string' && more.length === 0 ? [[left, right]] : [];
}

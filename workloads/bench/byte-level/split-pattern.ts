import { Tokenizer } from '@huggingface/tokenizers';

/** How a byte-level tokenizer cuts text up: by a regular expression of its file, or by GPT-2's own. */
export type TextSplit = { readonly regex: string } | 'gpt-2';

/** The one of `ByteLevel` with `use_regex` in Hugging Face's tokenizers. */
const GPT_2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * The regular expression, rewritten for JavaScript by @huggingface/tokenizers. GPT-2's too: the library's own version
 * of it takes U+FEFF for a space and U+0085 for none.
 */
export function compileSplit(split: TextSplit): RegExp {
  const regex = split === 'gpt-2' ? GPT_2 : split.regex;
  const tokenizer: object = new Tokenizer(
    {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false },
      post_processor: null,
      decoder: null,
      model: { type: 'BPE', vocab: {}, merges: [] },
    },
    {},
  );
  const pattern: unknown = Reflect.get(Reflect.get(tokenizer, 'pre_tokenizer'), 'pattern');
  if (!(pattern instanceof RegExp)) {
    throw new Error(`The tokenizer's pattern "${regex}" cannot be used.`);
  }
  return pattern;
}

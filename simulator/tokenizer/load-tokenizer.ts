import type { Tokenizer, TokenizerSource } from '../contracts.js';
import { createBuiltInTokenizer } from './built-in-tokenizer.js';
import { findCachedTokenizer, loadHuggingFaceTokenizer } from './huggingface-tokenizer.js';

/**
 * `--tokenizer DIR` if given, else the model's own from the local Hugging Face cache, else the built-in one.
 * @throws Error if the given folder holds no tokenizer.
 */
export function loadTokenizer(source: TokenizerSource): Tokenizer {
  if (source.tokenizerDir !== null) return loadHuggingFaceTokenizer(source.tokenizerDir);
  const cached = findCachedTokenizer(source.model, source.hfHome);
  return cached === null ? createBuiltInTokenizer(source.vocabularySize) : loadHuggingFaceTokenizer(cached);
}

import { findLocalTokenizer, loadLocalTokenizer } from '../../workloads/bench/local-tokenizer.js';
import { tokenize } from '../../workloads/server-api.js';
import type { Target } from '../../workloads/target.js';
import { sampleText } from './workloads/dummy-text.js';

/**
 * Tokens a word of dummy text has: as the server itself says (/tokenize), else with the model's tokenizer where that lies in
 * the Hugging Face cache, else 1, which holds for the vocabularies of common models. Nothing is downloaded.
 */
export async function tokensPerWord(target: Target, hfHome: string, signal: AbortSignal): Promise<number> {
  const { text, words } = sampleText();
  try {
    return (await tokenize(target, ` ${text}`, { addSpecialTokens: false, signal })).length / words;
  } catch {
    // A server without it (SGLang), or one that fails: what comes next will say so.
    signal.throwIfAborted();
    return (await countLocally(target.model, hfHome, ` ${text}`)) / words;
  }
}

/** A tokenizer that cannot be read makes lengths less exact, nothing else. */
async function countLocally(model: string, hfHome: string, text: string): Promise<number> {
  const words = text.trim().split(' ').length;
  try {
    const directory = await findLocalTokenizer(model, hfHome);
    if (directory === null) return words;
    const tokenizer = await loadLocalTokenizer(directory);
    try {
      return (await tokenizer.encode(text)).length;
    } finally {
      await tokenizer.close();
    }
  } catch {
    return words;
  }
}

import { findLocalTokenizer, loadLocalTokenizer } from '../../workloads/bench/local-tokenizer.js';
import { sampleText } from './workloads/dummy-text.js';

/**
 * Tokens a word of dummy text has with the model's own tokenizer, where that lies in the Hugging Face cache; 1 otherwise,
 * which holds for the vocabularies of common models. Nothing is downloaded.
 */
export async function tokensPerWord(model: string, hfHome: string): Promise<number> {
  try {
    const directory = await findLocalTokenizer(model, hfHome);
    if (directory === null) return 1;
    const tokenizer = await loadLocalTokenizer(directory);
    try {
      const { text, words } = sampleText();
      return (await tokenizer.encode(` ${text}`)).length / words;
    } finally {
      await tokenizer.close();
    }
  } catch {
    // A tokenizer that cannot be read makes lengths less exact, nothing else.
    return 1;
  }
}

import { openAgent } from '../server-answer.js';
import { detokenize, tokenize } from '../server-api.js';
import type { Target } from '../target.js';
import type { BenchPrompt } from './options.js';

const CONCURRENCY = 64;

/**
 * Where the server's tokenizer counts the first prompt otherwise than ours, every prompt that it finds too long is cut
 * to the wanted length (vLLM 0.32.0, `_align_prompts_to_server_tokenizer`). A server without /tokenize, or a prompt
 * that it cannot tokenize, changes nothing.
 */
export async function alignPrompts(
  target: Target,
  prompts: readonly BenchPrompt[],
  signal: AbortSignal,
): Promise<readonly BenchPrompt[]> {
  const [first] = prompts;
  if (first === undefined || first.tokenIds !== undefined) {
    return prompts;
  }
  const agent = await openAgent(target, CONCURRENCY);
  const encode = (text: string): Promise<number[]> =>
    tokenize(target, text, { addSpecialTokens: false, signal, agent });
  const align = async (prompt: BenchPrompt): Promise<BenchPrompt> => {
    const tokens = await encode(prompt.text);
    return tokens.length <= prompt.promptLen
      ? prompt
      : {
          text: await detokenize(target, tokens.slice(0, prompt.promptLen), { signal, agent }),
          promptLen: prompt.promptLen,
          outputLen: prompt.outputLen,
        };
  };
  try {
    const counted = await encode(first.text).catch(() => null);
    if (counted === null || counted.length === first.promptLen) {
      return prompts;
    }
    const aligned = await Promise.all(prompts.map((prompt) => align(prompt).catch(() => prompt)));
    signal.throwIfAborted();
    return aligned;
  } finally {
    agent.destroy();
  }
}

import type { BenchBackend, BenchPrompt } from './options.js';

export const BENCH_PATHS: Readonly<Record<BenchBackend, string>> = {
  openai: '/v1/completions',
  'openai-chat': '/v1/chat/completions',
  vllm: '/v1/completions',
};

/** The body that `vllm bench serve` 0.32.0 posts, members in its order; `extraBody` is merged on top. */
export function benchRequestBody(
  backend: BenchBackend,
  model: string,
  prompt: BenchPrompt,
  options: {
    readonly ignoreEos: boolean;
    readonly logprobs: number | null;
    readonly extraBody: Readonly<Record<string, unknown>>;
  },
): Record<string, unknown> {
  const tail = {
    stream: true,
    stream_options: { include_usage: true },
    ...(options.ignoreEos ? { ignore_eos: true } : {}),
    ...options.extraBody,
  };
  if (backend !== 'openai-chat') {
    return {
      model,
      prompt: prompt.tokenIds ?? prompt.json ?? prompt.text,
      repetition_penalty: 1,
      max_tokens: prompt.outputLen,
      logprobs: options.logprobs,
      ...tail,
    };
  }
  return {
    model,
    messages: [{ role: 'user', content: [{ type: 'text', text: prompt.json ?? prompt.text }] }],
    max_completion_tokens: prompt.outputLen,
    ...tail,
  };
}

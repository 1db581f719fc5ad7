import { z } from 'zod';
import { ownNotesSchema } from './own-notes.js';

const count = z.int().nonnegative();
const amount = z.number().nonnegative();

/**
 * `vllm_bench/{baseline,lmcache}.json`: one JSON object in the format of `vllm bench serve --save-result`
 * (vLLM, vllm/benchmarks/serve.py), so that its consumers read ours too. Keys of newer versions and of
 * `--metadata` pass through.
 */
export const vllmBenchSchema = z.looseObject({
  date: z.string(),
  endpoint_type: z.string(),
  backend: z.string(),
  label: z.string().nullable(),
  model_id: z.string(),
  tokenizer_id: z.string().nullable(),
  num_prompts: count,
  /** Requests a second, or the text `inf`. */
  request_rate: z.union([amount, z.literal('inf')]),
  burstiness: amount,
  max_concurrency: count.nullable(),
  /** Seconds, from before the first dispatch until all answers are in; no warm-up. */
  duration: amount,
  completed: count,
  failed: count.optional(),
  total_input_tokens: count,
  total_output_tokens: count,
  request_throughput: amount,
  request_goodput: amount.nullable().optional(),
  output_throughput: amount,
  /** Input and output tokens a second. */
  total_token_throughput: amount,
  mean_ttft_ms: amount.optional(),
  median_ttft_ms: amount.optional(),
  p99_ttft_ms: amount.optional(),
  /** What we add, under one key of its own; absent from a file of the real `vllm bench serve`. */
  lmcache_ci: ownNotesSchema.optional(),
});
export type VllmBenchFile = z.infer<typeof vllmBenchSchema>;

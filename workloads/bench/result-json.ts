import type { ClientHealth } from '../client-health.js';
import type { SimulatedBy } from '../target.js';

/** What we add to the file, under one key of its own. */
export interface BenchServeExtras {
  readonly client: 'lmcache-ci';
  readonly simulated: SimulatedBy | null;
  readonly interrupted: boolean;
  /** TTFT from the intended start, in ms: what a user waits, queueing in the client included. */
  readonly ttft_from_intended_ms: { readonly mean: number; readonly median: number; readonly p99: number };
  readonly cached_tokens: number | null;
  /** How many requests failed, by reason. */
  readonly failures: Readonly<Record<string, number>>;
  readonly client_health: ClientHealth;
}

/**
 * The result file of `vllm bench serve` 0.32.0: the same keys in the same order.
 * Statistics (`mean_ttft_ms`, `p99_itl_ms`, ...) and metadata stand under keys of their own at the top.
 */
export interface BenchServeJson {
  readonly date: string;
  readonly endpoint_type: string;
  readonly backend: string;
  readonly label: string | null;
  readonly model_id: string;
  readonly tokenizer_id: string | null;
  readonly num_prompts: number;
  readonly request_rate: number | 'inf';
  readonly burstiness: number;
  readonly max_concurrency: number | null;
  /** Seconds. */
  readonly duration: number;
  readonly completed: number;
  readonly failed: number;
  readonly total_input_tokens: number;
  readonly total_output_tokens: number;
  readonly request_throughput: number;
  readonly request_goodput: number | null;
  readonly output_throughput: number;
  readonly total_token_throughput: number;
  readonly input_lens?: readonly number[];
  readonly output_lens?: readonly number[];
  readonly ttfts?: readonly number[];
  readonly itls?: readonly (readonly number[])[];
  readonly latencies: readonly number[];
  readonly start_times?: readonly number[];
  readonly queue_times: readonly number[];
  readonly generated_texts?: readonly string[];
  readonly errors?: readonly string[];
  readonly max_output_tokens_per_s: number;
  readonly max_concurrent_requests: number;
  readonly rtfx: number;
  readonly lmcache_ci: BenchServeExtras;
  readonly [key: string]: unknown;
}

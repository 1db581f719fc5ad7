/** Where the cache tier reports what it does; names are the last parts of LMCache's metric names. */
export interface TierMetrics {
  /** Adds to a counter, e.g. `l1_write_chunks`. */
  count(name: CounterName, amount: number, labels?: Readonly<Record<string, string>>): void;
  /** Records one value of a histogram, e.g. seconds or GB/s. */
  observe(name: HistogramName, value: number, labels?: Readonly<Record<string, string>>): void;
}

export type CounterName = keyof typeof COUNTERS;
export type HistogramName = keyof typeof HISTOGRAMS;

/** Counters of LMCache 0.5.3 with its help texts; the last three are of other versions, whose help no recording has. */
export const COUNTERS = {
  l1_write_chunks: 'Total chunks written to L1',
  l1_read_chunks: 'Total chunks read from L1',
  l1_evicted_chunks: 'Total chunks evicted from L1',
  l1_eviction_loop_triggered: 'L1 eviction-loop iterations where the policy ran',
  lookup_requested_tokens:
    'Total tokens submitted for lookup (denominator of the L1+L2 token-level hit rate). Only chunk-aligned tokens are counted.',
  lookup_hit_tokens:
    'Total tokens found in L1+L2 during lookup (numerator of the L1+L2 token-level hit rate). Counts the contiguous prefix hit only.',
  num_chunks_loaded: 'Total number of LMCache chunks loaded into the engine (summed across all retrieve operations).',
  l2_prefetch_lookup_requests: 'Total L2 prefetch lookup requests submitted',
  l2_prefetch_lookup_objects_chunks: 'Total chunks submitted for L2 prefetch lookup',
  l2_prefetch_hit_chunks: 'Total prefix chunks found in L2 lookup',
  l2_store_submitted_requests: 'Total L2 store requests submitted',
  l2_store_submitted_objects_chunks: 'Total chunks submitted for L2 store',
  l2_store_completed_requests: 'Total L2 store requests completed',
  l2_store_completed_objects_chunks: 'Total chunks successfully stored to L2',
  l2_prefetch_load_submitted_requests: 'Total L2 prefetch load requests submitted (per-adapter)',
  l2_prefetch_load_submitted_objects_chunks: 'Total chunks submitted for L2 load',
  l2_load_completed_requests: 'Total L2 load tasks completed (per-adapter)',
  l2_prefetch_load_completed_chunks: 'Total chunks successfully loaded from L2',
  lookup_hit_l1_tokens: 'Total tokens found in L1 during lookup',
  lookup_hit_l2_tokens: 'Total tokens found in L2 during lookup',
  lookup_hit_l2_keys: 'Total keys found in L2 during lookup',
} as const;

/** Histograms of LMCache 0.5.3, all with the same buckets (`HISTOGRAM_BUCKETS`). Those of ages hold a sample. */
export const HISTOGRAMS = {
  l1_chunk_reuse_gap_seconds:
    'Histogram of time gaps between consecutive touches (write or read) of the same L1 chunk (seconds).',
  l1_chunk_lifetime_seconds: 'Histogram of L1 chunk lifetime from allocation to eviction (seconds).',
  l1_chunk_idle_before_evict_seconds: 'Histogram of idle time before L1 chunk eviction (seconds).',
  l1_chunk_evict_reuse_gap_seconds:
    'Histogram of time from L1 chunk eviction to next reuse.  Capped at max_evict_reuse_wait.',
  real_reuse_gap_seconds:
    "Gap between a chunk's last access (read or write) and next read.  Storage cost.  Tagged with cache_salt.",
  real_reuse_gap_objects:
    'Per-cache_salt access-counter gap between two reads of the same chunk.  Storage volume.  Tagged with cache_salt.',
  l0_l1_store_throughput_GB_per_second:
    'Histogram of L0→L1 (GPU→CPU) store throughput in GB/s, measured per request as total_bytes / (end_ts - start_ts) on the GPU cupy stream.',
  l0_l1_load_throughput_GB_per_second:
    'Histogram of L1→L0 (CPU→GPU) load throughput in GB/s, measured per request as total_bytes / (end_ts - start_ts) on the GPU cupy stream.',
  l2_store_throughput_GB_per_second:
    'Histogram of L1->L2 store throughput in GB/s, measured per task as total_bytes / (completed_ts - submitted_ts).  Spans adapter queue + network/disk I/O, so this is end-to-end latency-based throughput.',
  l2_load_throughput_GB_per_second:
    'Histogram of L2->L1 load throughput in GB/s, measured per (request, adapter) pair as total_bytes / (completed_ts - submitted_ts).  Spans adapter queue + network/disk I/O.',
  l0_block_lifetime_seconds: 'Histogram of GPU KV cache block lifetime from allocation to eviction (seconds).',
  l0_block_idle_before_evict_seconds: 'Histogram of idle time before GPU KV cache block eviction (seconds).',
  l0_block_reuse_gap_seconds: 'Histogram of time gaps between consecutive GPU KV cache block accesses (seconds).',
} as const;

export const HISTOGRAM_BUCKETS = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000];

/** For tiers nobody scrapes (in-process connectors). */
export const NO_METRICS: TierMetrics = { count: () => {}, observe: () => {} };

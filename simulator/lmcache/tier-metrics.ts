/** Where the cache tier reports what it does; names are the last parts of LMCache's metric names. */
export interface TierMetrics {
  /** Adds to a counter, e.g. `l1_write_chunks`. */
  count(name: CounterName, amount: number, labels?: Readonly<Record<string, string>>): void;
  /** Records one value of a histogram, e.g. seconds or GB/s. */
  observe(name: HistogramName, value: number, labels?: Readonly<Record<string, string>>): void;
}

export type CounterName = keyof typeof COUNTERS;
export type HistogramName = keyof typeof HISTOGRAMS;

/** Counters of LMCache 0.5.3 as its /metrics names them, with their help texts shortened. */
export const COUNTERS = {
  l1_write_chunks: 'Total chunks written to L1',
  l1_read_chunks: 'Total chunks read from L1',
  l1_evicted_chunks: 'Total chunks evicted from L1',
  l1_eviction_loop_triggered: 'L1 eviction-loop iterations where the policy ran',
  lookup_requested_tokens: 'Total tokens submitted for lookup, chunk-aligned',
  lookup_hit_tokens: 'Total tokens found in L1+L2 during lookup, contiguous prefix only',
  num_chunks_loaded: 'Total number of LMCache chunks loaded into the engine',
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
} as const;

/** Histograms of LMCache 0.5.3, all with the same buckets (`HISTOGRAM_BUCKETS`). */
export const HISTOGRAMS = {
  l1_chunk_reuse_gap_seconds: 'Gaps between consecutive touches of the same L1 chunk, seconds (sampled)',
  l1_chunk_lifetime_seconds: 'L1 chunk lifetime from allocation to eviction, seconds (sampled)',
  l1_chunk_idle_before_evict_seconds: 'Idle time before L1 chunk eviction, seconds (sampled)',
  real_reuse_gap_seconds: "Gap between a chunk's last access and its next read, seconds (sampled)",
  real_reuse_gap_objects: 'Accesses between two reads of the same chunk (sampled)',
  l0_l1_store_throughput_GB_per_second: 'GPU to CPU store throughput, GB/s',
  l0_l1_load_throughput_GB_per_second: 'CPU to GPU load throughput, GB/s',
  l2_store_throughput_GB_per_second: 'L1 to L2 store throughput, GB/s',
  l2_load_throughput_GB_per_second: 'L2 to L1 load throughput, GB/s',
} as const;

export const HISTOGRAM_BUCKETS = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000];

/** For tiers nobody scrapes (in-process connectors). */
export const NO_METRICS: TierMetrics = { count: () => {}, observe: () => {} };

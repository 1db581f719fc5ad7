/** Some requests of each experiment on one engine. */
export interface Side {
  /** Another test function: its experiment of the same number is looked at, where it was run along. Default: this one. */
  readonly function?: string;
  /** Position in the test case. */
  readonly engine: number;
  /** `first`: the first request of the experiment; `later`: all others; or positions. Default: all. */
  readonly requests?: 'all' | 'first' | 'later' | readonly number[];
}

/** A difference that a test case exists to show: the better side is that many times better than the other. */
export interface Shows {
  /** In words, e.g. `KV cache read from CPU memory instead of computed`. */
  readonly what: string;
  /** TTFT: lower is better. throughput: higher is better. */
  readonly metric: 'TTFT' | 'throughput' | 'latency';
  readonly better: Side;
  readonly worse: Side;
  /** How many times better (medians) it must be at least. Default: 1.1. */
  readonly atLeast?: number;
}

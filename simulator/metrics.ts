import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { StepReport } from './engine/engine-listener.js';
import type { Scheduler } from './engine/scheduler.js';
import type { FinishReason, Sequence } from './engine/sequence.js';
import type { SleepState } from './sleep-state.js';

const TOKEN_BUCKETS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000];
const STEP_TOKEN_BUCKETS = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384];
const FIRST_TOKEN_BUCKETS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
];
const TOKEN_GAP_BUCKETS = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const REQUEST_BUCKETS = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680];
const FINISH_REASONS = ['stop', 'length', 'abort', 'error', 'repetition'];

export interface EngineMetricsOptions {
  readonly registry: Registry;
  readonly modelName: string;
  readonly scheduler: Scheduler;
  /** Requests the API process has not handed over yet. */
  readonly arriving: () => number;
  /** Labels of vllm:cache_config_info. */
  readonly cacheConfig: Readonly<Record<string, string>>;
  readonly sleep: SleepState;
}

type Labels = Readonly<Record<string, string>>;

/** The engine's part of /metrics, under vLLM's names. All times are simulated seconds. */
export class EngineMetrics {
  readonly #registry: Registry;
  readonly #labels: Labels;
  readonly #createdAt = Date.now() / 1000;
  readonly #finished: (reason: string) => void;
  readonly #promptTokens: (count: number) => void;
  readonly #computedTokens: (count: number) => void;
  readonly #localTokens: (count: number) => void;
  readonly #externalTokens: (count: number) => void;
  readonly #cachedTokens: (count: number) => void;
  readonly #generatedTokens: (count: number) => void;
  readonly #observe: Readonly<Record<HistogramName, (value: number) => void>>;

  constructor(options: EngineMetricsOptions) {
    this.#registry = options.registry;
    this.#labels = { engine: '0', model_name: options.modelName };
    const { scheduler } = options;
    this.#gauges(options);
    const { counters } = scheduler;
    this.#total(
      'prefix_cache_queries',
      'Prefix cache queries, in terms of number of queried tokens.',
      () => counters.prefixQueries,
    );
    this.#total(
      'prefix_cache_hits',
      'Prefix cache hits, in terms of number of cached tokens.',
      () => counters.prefixHits,
    );
    this.#total(
      'external_prefix_cache_queries',
      'External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of queried tokens.',
      () => counters.externalQueries,
    );
    this.#total(
      'external_prefix_cache_hits',
      'External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of cached tokens.',
      () => counters.externalHits,
    );
    for (const [name, help] of Object.entries(ALWAYS_ZERO)) this.#total(name, help, () => 0);
    this.#total('num_preemptions', 'Cumulative number of preemption from the engine.', () => counters.preemptions);
    this.#promptTokens = this.#counter('prompt_tokens', 'Number of prefill tokens processed.', {});
    const source = this.#counters('prompt_tokens_by_source', 'Number of prompt tokens by source.', 'source', [
      'local_compute',
      'local_cache_hit',
      'external_kv_transfer',
    ]);
    this.#computedTokens = (count) => source('local_compute', count);
    this.#localTokens = (count) => source('local_cache_hit', count);
    this.#externalTokens = (count) => source('external_kv_transfer', count);
    this.#cachedTokens = this.#counter(
      'prompt_tokens_cached',
      'Number of cached prompt tokens (local + external).',
      {},
    );
    this.#generatedTokens = this.#counter('generation_tokens', 'Number of generation tokens processed.', {});
    const success = this.#counters(
      'request_success',
      'Count of successfully processed requests.',
      'finished_reason',
      FINISH_REASONS,
    );
    this.#finished = (reason) => success(reason, 1);
    this.#observe = {
      request_prompt_tokens: this.#histogram('request_prompt_tokens', TOKEN_BUCKETS),
      request_generation_tokens: this.#histogram('request_generation_tokens', TOKEN_BUCKETS),
      iteration_tokens_total: this.#histogram('iteration_tokens_total', STEP_TOKEN_BUCKETS),
      request_max_num_generation_tokens: this.#histogram('request_max_num_generation_tokens', TOKEN_BUCKETS),
      request_params_n: this.#histogram('request_params_n', [1, 2, 5, 10, 20]),
      request_params_max_tokens: this.#histogram('request_params_max_tokens', TOKEN_BUCKETS),
      time_to_first_token_seconds: this.#histogram('time_to_first_token_seconds', FIRST_TOKEN_BUCKETS),
      inter_token_latency_seconds: this.#histogram('inter_token_latency_seconds', TOKEN_GAP_BUCKETS),
      request_time_per_output_token_seconds: this.#histogram(
        'request_time_per_output_token_seconds',
        TOKEN_GAP_BUCKETS,
      ),
      e2e_request_latency_seconds: this.#histogram('e2e_request_latency_seconds', REQUEST_BUCKETS),
      request_queue_time_seconds: this.#histogram('request_queue_time_seconds', REQUEST_BUCKETS),
      request_inference_time_seconds: this.#histogram('request_inference_time_seconds', REQUEST_BUCKETS),
      request_prefill_time_seconds: this.#histogram('request_prefill_time_seconds', REQUEST_BUCKETS),
      request_decode_time_seconds: this.#histogram('request_decode_time_seconds', REQUEST_BUCKETS),
      request_prefill_kv_computed_tokens: this.#histogram('request_prefill_kv_computed_tokens', TOKEN_BUCKETS),
    };
  }

  onStep(report: StepReport): void {
    this.#generatedTokens(report.generatedTokens);
    this.#observe.iteration_tokens_total(report.promptTokens + report.generatedTokens);
  }

  /** A token at simulated time `at`; the sequence's `lastToken` still names the one before. */
  onToken(sequence: Sequence, at: number): void {
    const { arrival, lastToken } = sequence.times;
    if (!Number.isNaN(lastToken)) {
      this.#observe.inter_token_latency_seconds(at - lastToken);
      return;
    }
    this.#observe.time_to_first_token_seconds(at - arrival);
    const prompt = sequence.promptIds.length;
    this.#promptTokens(prompt);
    this.#computedTokens(prompt - sequence.cachedTokens);
    this.#localTokens(sequence.localHitTokens);
    this.#externalTokens(sequence.externalHitTokens);
    this.#cachedTokens(sequence.cachedTokens);
  }

  /** A sequence has ended at simulated time `at`. */
  onEnd(sequence: Sequence, reason: FinishReason, at: number, n: number): void {
    this.#finished(reason);
    const { arrival, queued, scheduled, firstToken } = sequence.times;
    const generated = sequence.outputIds.length;
    this.#observe.request_prompt_tokens(sequence.promptIds.length);
    this.#observe.request_generation_tokens(generated);
    this.#observe.request_max_num_generation_tokens(generated);
    this.#observe.request_params_n(n);
    this.#observe.request_params_max_tokens(sequence.options.maxTokens);
    this.#observe.e2e_request_latency_seconds(at - arrival);
    if (Number.isNaN(firstToken)) return;
    this.#observe.request_queue_time_seconds(scheduled - queued);
    this.#observe.request_prefill_time_seconds(firstToken - scheduled);
    this.#observe.request_decode_time_seconds(at - firstToken);
    this.#observe.request_inference_time_seconds(at - scheduled);
    this.#observe.request_time_per_output_token_seconds(generated > 1 ? (at - firstToken) / (generated - 1) : 0);
    this.#observe.request_prefill_kv_computed_tokens(sequence.promptIds.length - sequence.cachedTokens);
  }

  #gauges({ scheduler, arriving, cacheConfig, sleep }: EngineMetricsOptions): void {
    const loading = (): number =>
      scheduler.waiting.filter(({ remote }) => remote.kind === 'loading' || remote.kind === 'asked').length;
    const waiting = (): number => scheduler.waiting.length + arriving();
    this.#gauge('num_requests_running', 'Number of requests in model execution batches.', [
      [{}, () => scheduler.running.length],
    ]);
    this.#gauge('num_requests_waiting', 'Number of requests waiting to be processed.', [[{}, waiting]]);
    this.#gauge(
      'num_requests_waiting_by_reason',
      "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; 'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of all reasons equals vllm:num_requests_waiting.",
      [
        [{ reason: 'capacity' }, () => waiting() - loading()],
        [{ reason: 'deferred' }, loading],
      ],
    );
    this.#gauge(
      'engine_sleep_state',
      'Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.',
      [
        [{ sleep_state: 'awake' }, () => sleep.gauges.awake],
        [{ sleep_state: 'weights_offloaded' }, () => sleep.gauges.weightsOffloaded],
        [{ sleep_state: 'discard_all' }, () => sleep.gauges.discardAll],
      ],
    );
    const { pool } = scheduler;
    this.#gauge('kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent usage.', [
      [{}, () => pool.usedBlocks / pool.usableBlocks],
    ]);
    const { engine = '0' } = this.#labels;
    new Gauge({
      name: 'vllm:cache_config_info',
      help: 'Information of the LLMEngine CacheConfig',
      labelNames: ['engine', ...Object.keys(cacheConfig)],
      registers: [this.#registry],
    }).set({ engine, ...cacheConfig }, 1);
  }

  #gauge(name: string, help: string, values: readonly (readonly [Labels, () => number])[]): void {
    const labels = this.#labels;
    const gauge: Gauge = new Gauge({
      name: `vllm:${name}`,
      help,
      labelNames: [...Object.keys(labels), ...Object.keys(values[0]?.[0] ?? {})],
      registers: [this.#registry],
      collect: () => {
        for (const [extra, read] of values) gauge.set({ ...labels, ...extra }, read());
      },
    });
  }

  /** A counter that follows a running total kept elsewhere. */
  #total(name: string, help: string, read: () => number): void {
    let seen = 0;
    const add = this.#counter(name, help, {}, () => {
      const total = read();
      add(total - seen);
      seen = total;
    });
  }

  #counter(name: string, help: string, extra: Labels, collect?: () => void): (count: number) => void {
    const labels = { ...this.#labels, ...extra };
    const counter = new Counter({
      name: `vllm:${name}_total`,
      help,
      labelNames: Object.keys(labels),
      registers: [this.#registry],
      ...(collect ? { collect } : {}),
    });
    const child = counter.labels(labels);
    child.inc(0);
    this.#created(name, help, [labels]);
    return (count) => child.inc(count);
  }

  #counters(
    name: string,
    help: string,
    label: string,
    values: readonly string[],
  ): (value: string, count: number) => void {
    const labelled = values.map((value) => ({ ...this.#labels, [label]: value }));
    const counter = new Counter({
      name: `vllm:${name}_total`,
      help,
      labelNames: [...Object.keys(this.#labels), label],
      registers: [this.#registry],
    });
    for (const labels of labelled) counter.labels(labels).inc(0);
    this.#created(name, help, labelled);
    return (value, count) => counter.labels({ ...this.#labels, [label]: value }).inc(count);
  }

  #histogram(name: HistogramName, buckets: readonly number[]): (value: number) => void {
    const histogram = new Histogram({
      name: `vllm:${name}`,
      help: HISTOGRAM_HELP[name],
      labelNames: Object.keys(this.#labels),
      buckets: [...buckets],
      registers: [this.#registry],
    });
    histogram.zero(this.#labels);
    this.#created(name, HISTOGRAM_HELP[name], [this.#labels]);
    const child = histogram.labels(this.#labels);
    return (value) => child.observe(value);
  }

  /** prometheus_client's companion of each counter and histogram. */
  #created(name: string, help: string, labelled: readonly Labels[]): void {
    const gauge = new Gauge({
      name: `vllm:${name}_created`,
      help,
      labelNames: Object.keys(labelled[0] ?? {}),
      registers: [this.#registry],
    });
    for (const labels of labelled) gauge.set(labels, this.#createdAt);
  }
}

/** What a text model without --enable-mfu-metrics never counts: zero in the recordings too. */
const ALWAYS_ZERO = {
  mm_cache_queries: 'Multi-modal cache queries, in terms of number of queried items.',
  mm_cache_hits: 'Multi-modal cache hits, in terms of number of cached items.',
  estimated_flops_per_gpu:
    'Estimated number of floating point operations per GPU (for Model Flops Utilization calculations).',
  estimated_read_bytes_per_gpu:
    'Estimated number of bytes read from memory per GPU (for Model Flops Utilization calculations).',
  estimated_write_bytes_per_gpu:
    'Estimated number of bytes written to memory per GPU (for Model Flops Utilization calculations).',
} as const;

/** Help texts are vLLM 0.26's: clients show them. */
const HISTOGRAM_HELP = {
  request_prompt_tokens: 'Number of prefill tokens processed.',
  request_generation_tokens: 'Number of generation tokens processed.',
  iteration_tokens_total: 'Histogram of number of tokens per engine_step.',
  request_max_num_generation_tokens: 'Histogram of maximum number of requested generation tokens.',
  request_params_n: 'Histogram of the n request parameter.',
  request_params_max_tokens: 'Histogram of the max_tokens request parameter.',
  time_to_first_token_seconds: 'Histogram of time to first token in seconds.',
  inter_token_latency_seconds: 'Histogram of inter-token latency in seconds.',
  request_time_per_output_token_seconds: 'Histogram of time_per_output_token_seconds per request.',
  e2e_request_latency_seconds: 'Histogram of e2e request latency in seconds.',
  request_queue_time_seconds: 'Histogram of time spent in WAITING phase for request.',
  request_inference_time_seconds: 'Histogram of time spent in RUNNING phase for request.',
  request_prefill_time_seconds: 'Histogram of time spent in PREFILL phase for request.',
  request_decode_time_seconds: 'Histogram of time spent in DECODE phase for request.',
  request_prefill_kv_computed_tokens: 'Histogram of new KV tokens computed during prefill (excluding cached tokens).',
} as const;

type HistogramName = keyof typeof HISTOGRAM_HELP;

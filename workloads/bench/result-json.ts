import type { ClientHealth } from '../client-health.js';
import type { MultiRoundQaSummary } from '../multi-round-qa.js';
import { pythonFloat, pythonJsonString } from '../python-format.js';
import type { SimulatedBy } from '../target.js';
import { type BenchFigures, type BenchRequests, metricValues, statisticsOf } from './bench-metrics.js';
import type { BenchMetric, BenchServeOptions } from './options.js';

/** Milliseconds. */
export interface LatencySummary {
  readonly mean: number;
  readonly median: number;
  readonly p99: number;
}

/** The moment at which a ramp reached a rate. */
export interface RpsChange {
  readonly rps: number;
  /** Seconds after the start. */
  readonly atSeconds: number;
}

/** What we add to the file, under one key of its own. */
export interface BenchServeExtras {
  readonly client: 'lmcache-ci';
  /** Threads that sent. */
  readonly workers: number;
  readonly simulated: SimulatedBy | null;
  readonly interrupted: boolean;
  readonly stopped_by: 'signal' | 'failure-rate' | null;
  /** False: ended early, or the client did not keep up; the figures judge nothing then. */
  readonly valid: boolean;
  /** TTFT from the intended start: what a user waits, queueing in the client included. */
  readonly ttft_from_intended_ms: LatencySummary;
  /** From the intended start to the send: waiting for a place under the concurrency limit, and send lag. */
  readonly client_queue_ms: LatencySummary;
  /** Prompt tokens out of the server's caches: by its usage, else by its metrics (other clients' included); null: it tells neither. */
  readonly cached_tokens: number | null;
  /** How many requests failed, by reason. */
  readonly failures: Readonly<Record<string, number>>;
  readonly client_health: ClientHealth;
  /** The summary of that data set. */
  readonly multi_round_qa?: MultiRoundQaSummary;
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

/** What the file is made of. */
export interface BenchServeReport {
  readonly model: string;
  readonly tokenizerId: string | null;
  readonly options: BenchServeOptions;
  readonly requests: BenchRequests;
  readonly figures: BenchFigures;
  /** Empty without a ramp. */
  readonly rpsChanges: readonly RpsChange[];
  readonly extras: BenchServeExtras;
  /** When the run began, local time. */
  readonly startedAt: Date;
}

const DEFAULT_METRICS: readonly BenchMetric[] = ['ttft', 'tpot', 'itl'];
/** The order in which statistics are written, whatever the order they are asked for in. */
const METRIC_ORDER: readonly BenchMetric[] = [
  'ttft',
  'tpot',
  'itl',
  'e2el',
  'client_queue_time',
  'e2el_including_client_queue',
];
const INTEGER_KEYS: ReadonlySet<string> = new Set([
  'num_prompts',
  'max_concurrency',
  'completed',
  'failed',
  'total_input_tokens',
  'total_output_tokens',
  'input_lens',
  'output_lens',
  'max_concurrent_requests',
  'ramp_up_start_rps',
  'ramp_up_end_rps',
  'rps_change_events',
]);

export function buildBenchServeJson(report: BenchServeReport): BenchServeJson {
  const { options, requests, figures } = report;
  const requestRate = options.requestRate ?? Number.POSITIVE_INFINITY;
  const detailed = options.saveDetailed ?? false;
  return {
    date: timestamp(report.startedAt),
    endpoint_type: options.backend,
    backend: options.backend,
    label: options.label ?? null,
    model_id: report.model,
    tokenizer_id: report.tokenizerId,
    num_prompts: options.numPrompts,
    ...options.metadata,
    request_rate: requestRate === Number.POSITIVE_INFINITY ? 'inf' : requestRate,
    burstiness: options.burstiness ?? 1,
    max_concurrency: options.maxConcurrency ?? null,
    ...(options.rampUp === undefined
      ? {}
      : {
          ramp_up_strategy: options.rampUp.strategy,
          ramp_up_start_rps: options.rampUp.startRps,
          ramp_up_end_rps: options.rampUp.endRps,
        }),
    duration: figures.duration,
    completed: figures.completed,
    failed: figures.failed,
    total_input_tokens: figures.totalInput,
    total_output_tokens: figures.totalOutput,
    request_throughput: perSecond(figures.completed, figures),
    request_goodput: Object.keys(options.goodput ?? {}).length > 0 ? perSecond(figures.goodRequests, figures) : null,
    output_throughput: perSecond(figures.totalOutput, figures),
    total_token_throughput: perSecond(figures.totalInput + figures.totalOutput, figures),
    ...(detailed
      ? {
          input_lens: [...requests.promptLen],
          output_lens: [...requests.outputLen],
          ttfts: [...requests.ttft],
          itls: Array.from(requests.ttft, (_, index) => [...requests.itls(index)]),
        }
      : {}),
    latencies: [...requests.latency],
    ...(detailed ? { start_times: [...requests.startTime] } : {}),
    queue_times: [...requests.queueTime],
    ...(detailed
      ? {
          generated_texts: requests.texts,
          errors: requests.errors,
        }
      : {}),
    max_output_tokens_per_s: figures.maxOutputTokensPerSecond,
    max_concurrent_requests: figures.maxConcurrentRequests,
    rtfx: 0,
    ...(report.rpsChanges.length === 0 ? {} : { rps_change_events: rpsChangeEvents(report) }),
    ...statistics(options, requestRate, requests),
    lmcache_ci: report.extras,
  };
}

/**
 * The text of the file, as Python's `json.dump` writes it: `1.0` for a float that is whole, `, ` and `: ` between,
 * nothing but ASCII, no line feed at the end.
 */
export function formatBenchServeJson(json: BenchServeJson): string {
  return [...benchServeJsonPieces(json)].join('');
}

/** The same text in pieces, each made when it is asked for: the whole of a long run's is larger than what it measured. */
export function* benchServeJsonPieces(json: BenchServeJson): Generator<string, void> {
  let separator = '{';
  for (const [key, value] of Object.entries(json)) {
    const number = INTEGER_KEYS.has(key) || key === 'lmcache_ci' ? String : pythonFloat;
    yield `${separator}${pythonJsonString(key)}: `;
    if (Array.isArray(value) && value.length > 0) {
      for (const [index, item] of value.entries()) {
        yield `${index === 0 ? '[' : ', '}${dump(item, number)}`;
      }
      yield ']';
    } else {
      yield dump(value, number);
    }
    separator = ', ';
  }
  yield '}';
}

function statistics(options: BenchServeOptions, requestRate: number, requests: BenchRequests): Record<string, number> {
  const wanted = new Set(options.percentileMetrics ?? DEFAULT_METRICS);
  const hasLimit = (options.maxConcurrency ?? null) !== null;
  const offered = METRIC_ORDER.filter(
    (metric) =>
      wanted.has(metric) &&
      (metric !== 'client_queue_time' || hasLimit) &&
      (metric !== 'e2el_including_client_queue' || (hasLimit && requestRate < Number.POSITIVE_INFINITY)),
  );
  return Object.assign(
    {},
    ...offered.map((metric) => statisticsOf(metric, metricValues(metric, requests), options.percentiles ?? [99])),
  );
}

/** 0 where nothing took any time: an empty or wholly failed run. */
function perSecond(count: number, figures: BenchFigures): number {
  return figures.duration > 0 ? count / figures.duration : 0;
}

/** Python's `datetime.isoformat`, local time. */
function rpsChangeEvents({ rpsChanges, startedAt }: BenchServeReport): { rps: number; timestamp: string }[] {
  return rpsChanges.map(({ rps, atSeconds }) => {
    const date = new Date(startedAt.getTime() + atSeconds * 1000);
    const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
    return { rps, timestamp: local.toISOString().replace('Z', '000') };
  });
}

/** `%Y%m%d-%H%M%S`. */
function timestamp(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}${two(date.getMonth() + 1)}${two(date.getDate())}`;
  return `${day}-${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
}

function dump(value: unknown, number: (value: number) => string): string {
  if (typeof value === 'number') {
    // JSON has no NaN; nothing here produces one, and a reader must not trip over it.
    return Number.isFinite(value) ? number(value) : 'null';
  }
  if (typeof value === 'string') {
    return pythonJsonString(value);
  }
  if (Array.isArray(value)) {
    return `[${value.map((item) => dump(item, number)).join(', ')}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, item]) => `${pythonJsonString(key)}: ${dump(item, number)}`);
    return `{${members.join(', ')}}`;
  }
  return value === true ? 'true' : value === false ? 'false' : 'null';
}

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { SimulatedClock } from '../contracts.js';
import { registerProcessMetrics } from '../process-metrics.js';
import type { CacheTier } from './cache-tier.js';
import {
  COUNTERS,
  type CounterName,
  HISTOGRAM_BUCKETS,
  HISTOGRAMS,
  type HistogramName,
  type TierMetrics,
} from './tier-metrics.js';

const PREFIX = 'lmcache_mp_';
const EVICTION_LOOP_SECONDS = 1;

/**
 * The server's /metrics: names, types, labels and help texts of LMCache 0.5.3. Counters and histograms appear with their
 * first value; gauges are there from the start, as in the recordings. Times are simulated seconds.
 */
export class ServerMetrics implements TierMetrics {
  readonly contentType = 'text/plain; version=1.0.0; charset=utf-8';
  readonly #clock: SimulatedClock;
  readonly #standard = new Registry();
  #registry = new Registry();
  #counters = new Map<CounterName, Counter>();
  #histograms = new Map<HistogramName, Histogram>();

  /** @param instanceId the one that /config shows. */
  constructor(clock: SimulatedClock, instanceId: string) {
    this.#clock = clock;
    registerProcessMetrics(this.#standard);
    const target = {
      service_instance_id: instanceId,
      service_name: 'unknown_service',
      telemetry_sdk_language: 'python',
      telemetry_sdk_name: 'opentelemetry',
      telemetry_sdk_version: '1.40.0',
    };
    const registers = [this.#standard];
    const labelNames = Object.keys(target);
    new Gauge({ name: 'target_info', help: 'Target metadata', labelNames, registers }).set(target, 1);
  }

  count(name: CounterName, amount: number, labels: Readonly<Record<string, string>> = {}): void {
    let counter = this.#counters.get(name);
    if (counter === undefined) {
      counter = new Counter({
        name: `${PREFIX}${name}_total`,
        help: COUNTERS[name],
        labelNames: Object.keys(labels),
        registers: [this.#registry],
      });
      this.#counters.set(name, counter);
    }
    counter.inc({ ...labels }, amount);
  }

  observe(name: HistogramName, value: number, labels: Readonly<Record<string, string>> = {}): void {
    let histogram = this.#histograms.get(name);
    if (histogram === undefined) {
      histogram = new Histogram({
        name: PREFIX + name,
        help: HISTOGRAMS[name],
        labelNames: Object.keys(labels),
        buckets: HISTOGRAM_BUCKETS,
        registers: [this.#registry],
      });
      this.#histograms.set(name, histogram);
    }
    histogram.observe({ ...labels }, value);
  }

  /** Back to a fresh page (POST /metrics/reset). */
  reset(): void {
    this.#registry = new Registry();
    this.#counters = new Map();
    this.#histograms = new Map();
  }

  /** The page in Prometheus' text format. */
  async page(tier: CacheTier): Promise<string> {
    const gauges = gaugesOf(tier, this.#clock.now());
    return `${await this.#standard.metrics()}${await this.#registry.metrics()}${await gauges.metrics()}`;
  }
}

function gaugesOf(tier: CacheTier, now: number): Registry {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, value: number) =>
    new Gauge({ name: PREFIX + name, help, registers }).set(value);
  const labelled = (name: string, help: string, label: string, values: Readonly<Record<string, number>>) => {
    const metric = new Gauge({ name: PREFIX + name, help, labelNames: [label], registers });
    for (const [value, amount] of Object.entries(values)) metric.set({ [label]: value }, amount);
  };
  new Counter({
    name: `${PREFIX}l1_eviction_loop_ticks_total`,
    help: 'L1 eviction-loop iterations (every cycle)',
    registers,
  }).inc(Math.floor(now / EVICTION_LOOP_SECONDS));
  const { l1Bytes, l2 } = tier.options;
  gauge('l1_memory_usage_bytes', 'Bytes currently held in L1 cache', tier.l1UsedBytes);
  gauge('l1_usage_ratio', 'L1 used/total ratio (0.0–1.0)', tier.l1UsedBytes / l1Bytes);
  const adapters = { active: l2.length, draining: 0 };
  labelled(
    'l2_store_adapters',
    'Count of L2 adapters attached to the store controller, tagged by ``state`` (active or draining).',
    'state',
    adapters,
  );
  labelled(
    'l2_prefetch_adapters',
    'Count of L2 adapters attached to the prefetch controller, tagged by ``state`` (active or draining).',
    'state',
    adapters,
  );
  if (l2.length > 0) {
    const used = Object.fromEntries(l2.map((adapter) => [adapter.name, adapter.usedBytes]));
    inflightStores(registry, tier);
    labelled(
      'l2_usage_bytes',
      'Bytes currently held in each L2 adapter, tagged by ``l2_name`` (one observation per adapter).',
      'l2_name',
      used,
    );
  }
  gauge('active_prefetch_jobs', 'Number of active prefetch jobs', tier.activePrefetches);
  gauge('active_p2p_lookup_jobs', 'Number of active P2P lookup jobs', 0);
  gauge('event_bus_queue_depth', 'Events currently queued in the EventBus.', 0);
  gauge(
    'event_bus_drain_lag_seconds',
    'Seconds since the oldest queued event was published; 0.0 when empty.  Rising values mean the drain thread is falling behind.',
    0,
  );
  new Counter({
    name: `${PREFIX}event_bus_dropped_events_total`,
    help: 'Cumulative events dropped because the EventBus queue was at max_queue_size.',
    registers,
  }).inc(0);
  return registry;
}

/** Only while there are any, as on the real server. */
function inflightStores(registry: Registry, tier: CacheTier): void {
  const running = tier.options.l2.map((adapter, index) => ({ adapter, index, count: tier.storesUnderWay(adapter) }));
  if (running.every(({ count }) => count === 0)) return;
  const metric = new Gauge({
    name: `${PREFIX}num_inflight_l2_stores`,
    help: 'L2 store tasks currently executing, per adapter',
    labelNames: ['l2_name', 'adapter_index'],
    registers: [registry],
  });
  for (const { adapter, index, count } of running) {
    if (count > 0) metric.set({ l2_name: adapter.name, adapter_index: String(index) }, count);
  }
}

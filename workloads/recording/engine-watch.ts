import { setTimeout as sleep } from 'node:timers/promises';
import { type MetricsSnapshot, scrapeMetrics } from '../metrics.js';
import { ServerAnswerError } from '../server-answer.js';

const POLL_MS = 25;
/** Metrics are counted shortly after the answer. */
const COUNTED_LIMIT_MS = 2000;
const IDLE_LIMIT_MS = 60_000;
const RUNNING = ['vllm:num_requests_running', 'vllm:num_requests_waiting'];

/** What the engine itself says of one request, in seconds of its time; null: it does not say. */
export interface EngineTimes {
  readonly serverTtft: number | null;
  readonly queue: number | null;
  readonly prefill: number | null;
}

/** What fits into the KV of the GPU. */
export interface KvPool {
  readonly blocks: number;
  readonly tokens: number;
}

export const UNTOLD: EngineTimes = { serverTtft: null, queue: null, prefill: null };

const HISTOGRAMS = {
  serverTtft: 'vllm:time_to_first_token_seconds',
  queue: 'vllm:request_queue_time_seconds',
  prefill: 'vllm:request_prefill_time_seconds',
} as const;

/** Reads /metrics around single requests. */
export class EngineWatch {
  readonly #baseUrl: string;
  readonly #signal: AbortSignal;

  constructor(baseUrl: string, signal: AbortSignal) {
    this.#baseUrl = baseUrl;
    this.#signal = signal;
  }

  /**
   * Waits until no request runs or waits.
   * @returns the metrics then; null where the server has none
   * @throws ServerAnswerError when it is still busy after a minute
   */
  async idle(): Promise<MetricsSnapshot | null> {
    const giveUpAt = performance.now() + IDLE_LIMIT_MS;
    for (;;) {
      const metrics = await this.#scrape();
      if (metrics === null) return null;
      const busy = RUNNING.reduce((sum, name) => sum + metrics.sum(name), 0);
      if (busy === 0) return metrics;
      if (performance.now() > giveUpAt) {
        throw new ServerAnswerError(
          `${this.#baseUrl} is busy with ${busy} requests of others: a recording needs the server for itself.`,
          200,
        );
      }
      await sleep(POLL_MS, undefined, { signal: this.#signal });
    }
  }

  /** The GPU's KV by `vllm:cache_config_info`; null: the server does not tell. */
  async kvPool(): Promise<KvPool | null> {
    const metrics = await this.#scrape();
    const labels = metrics?.samples.find(({ name }) => name === 'vllm:cache_config_info')?.labels;
    const blocks = Number(labels?.['num_gpu_blocks'] ?? Number.NaN);
    const tokens = blocks * Number(labels?.['block_size'] ?? Number.NaN);
    return Number.isSafeInteger(tokens) && tokens > 0 ? { blocks, tokens } : null;
  }

  /** What one request has added since `before`: nothing is told where others came between, or it was not counted. */
  async timesSince(before: MetricsSnapshot | null): Promise<EngineTimes> {
    if (before === null) return UNTOLD;
    const names: readonly string[] = Object.values(HISTOGRAMS).filter((name) => before.has(`${name}_count`));
    const giveUpAt = performance.now() + COUNTED_LIMIT_MS;
    for (;;) {
      const after = await this.#scrape();
      if (after === null) return UNTOLD;
      const added = (series: string): number => after.sum(series) - before.sum(series);
      if (names.every((name) => added(`${name}_count`) >= 1) || performance.now() > giveUpAt) {
        const told = (name: string): number | null =>
          names.includes(name) && added(`${name}_count`) === 1 ? added(`${name}_sum`) : null;
        return {
          serverTtft: told(HISTOGRAMS.serverTtft),
          queue: told(HISTOGRAMS.queue),
          prefill: told(HISTOGRAMS.prefill),
        };
      }
      await sleep(POLL_MS, undefined, { signal: this.#signal });
    }
  }

  async #scrape(): Promise<MetricsSnapshot | null> {
    try {
      return await scrapeMetrics(this.#baseUrl, this.#signal);
    } catch (error) {
      if (error instanceof ServerAnswerError) return null;
      throw error;
    }
  }
}

import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { median, percentile } from './statistics.js';

/** Wall-clock milliseconds, whatever the server's speed. */
export interface DelaySummary {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Whether the client itself kept up. */
export interface ClientHealth {
  /** From "due and a place free" to the first byte written. */
  readonly sendLagMs: DelaySummary;
  readonly eventLoopDelayMs: DelaySummary;
  /** CPU of the whole process while it measured, and the wall-clock time of that. */
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  /** The p99 send lag allowed: the larger of 5 ms and 2 % of the median TTFT, both as wall-clock time. */
  readonly sendLagBudgetMs: number;
  /** True: the figures of this run judge the client, not the server. */
  readonly overloaded: boolean;
  /** What to do about it; null while all is well. */
  readonly remedy: string | null;
}

const MINIMUM_BUDGET_MS = 5;
const BUDGET_SHARE_OF_TTFT = 0.02;

const NONE: DelaySummary = { p50: 0, p99: 0, max: 0 };

function summarise(values: readonly number[]): DelaySummary {
  if (values.length === 0) {
    return NONE;
  }
  let max = 0;
  for (const value of values) {
    max = Math.max(max, value);
  }
  return { p50: percentile(values, 50), p99: percentile(values, 99), max };
}

/** Watches this process while it measures; `stop` must be called, or the process keeps a timer. */
export class ClientWatch {
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: 10 });
  readonly #cpuAtStart = process.cpuUsage();
  readonly #startedAtMs = performance.now();

  constructor() {
    this.#delay.enable();
  }

  /**
   * @param sendLagsMs wall-clock lag of every request that was sent
   * @param ttftsMs wall-clock TTFT of every success: the budget grows with their median
   */
  stop(sendLagsMs: readonly number[], ttftsMs: readonly number[]): ClientHealth {
    this.#delay.disable();
    const cpu = process.cpuUsage(this.#cpuAtStart);
    const sendLagMs = summarise(sendLagsMs);
    const sendLagBudgetMs = Math.max(
      MINIMUM_BUDGET_MS,
      ttftsMs.length > 0 ? median(ttftsMs) * BUDGET_SHARE_OF_TTFT : 0,
    );
    const overloaded = sendLagMs.p99 > sendLagBudgetMs;
    const measured = this.#delay.count > 0;
    return {
      sendLagMs,
      eventLoopDelayMs: measured
        ? { p50: this.#delay.percentile(50) / 1e6, p99: this.#delay.percentile(99) / 1e6, max: this.#delay.max / 1e6 }
        : NONE,
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
      wallSeconds: (performance.now() - this.#startedAtMs) / 1000,
      sendLagBudgetMs,
      overloaded,
      remedy: overloaded
        ? `Requests left ${sendLagMs.p99.toFixed(1)} ms late (p99; ${sendLagBudgetMs.toFixed(1)} ms allowed): ` +
          'send fewer at once, or give the client a core of its own.'
        : null,
    };
  }
}

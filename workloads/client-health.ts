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
  /** How much later than it was due a timer ran: so late were timestamps too, at worst. */
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

/** A timer due every so often; what is beyond that is delay. */
const TIMER_INTERVAL_MS = 10;
/** The loop is at fault when half of its timers come later than two budgets: stalls now and then have other causes. */
const LOOP_SHARE = 50;
const LOOP_BUDGETS = 2;

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
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: TIMER_INTERVAL_MS });
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
    const loopBudgetMs = sendLagBudgetMs * LOOP_BUDGETS;
    const loopDelayMs = this.#delayMs(this.#delay.percentile(LOOP_SHARE));
    const remedies = [
      ...(sendLagMs.p99 > sendLagBudgetMs
        ? [`Requests left ${sendLagMs.p99.toFixed(1)} ms late (p99; ${sendLagBudgetMs.toFixed(1)} ms allowed)`]
        : []),
      ...(loopDelayMs > loopBudgetMs
        ? [
            `the event loop was ${loopDelayMs.toFixed(1)} ms late (p${LOOP_SHARE}; ${loopBudgetMs.toFixed(1)} ms allowed)`,
          ]
        : []),
    ];
    return {
      sendLagMs,
      eventLoopDelayMs: {
        p50: this.#delayMs(this.#delay.percentile(50)),
        p99: this.#delayMs(this.#delay.percentile(99)),
        max: this.#delayMs(this.#delay.max),
      },
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
      wallSeconds: (performance.now() - this.#startedAtMs) / 1000,
      sendLagBudgetMs,
      overloaded: remedies.length > 0,
      remedy:
        remedies.length > 0
          ? `${sentence(remedies.join(', and '))}: send fewer at once, or give the client a core of its own.`
          : null,
    };
  }

  /** @param intervalNs 0 where there was none */
  #delayMs(intervalNs: number): number {
    return this.#delay.count === 0 ? 0 : Math.max(0, intervalNs / 1e6 - TIMER_INTERVAL_MS);
  }
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

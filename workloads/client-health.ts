import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { median, percentile } from './statistics.js';

/** Wall-clock milliseconds, whatever the server's speed. */
export interface DelaySummary {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** One of the threads that sent. */
export interface ThreadHealth {
  readonly requests: number;
  readonly sendLagMs: DelaySummary;
  readonly eventLoopDelayMs: DelaySummary;
}

/** Whether the client itself kept up. */
export interface ClientHealth {
  /** From "due and a place free" to the first byte written, of all requests. */
  readonly sendLagMs: DelaySummary;
  /** How much later than it was due a timer ran: so late were timestamps too, at worst. Of the worst thread. */
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
  /** Where several threads sent. */
  readonly threads?: readonly ThreadHealth[];
}

/** Who else sent, and what can be done about a client that does not keep up. */
export interface SendingThreads {
  /** Empty: only this one. */
  readonly threads: readonly ThreadHealth[];
  /** So many threads are worth a try. */
  readonly tryWorkers: number;
}

const MINIMUM_BUDGET_MS = 5;
const BUDGET_SHARE_OF_TTFT = 0.02;

/** A timer due every so often; what is beyond that is delay. */
const TIMER_INTERVAL_MS = 10;
/** The loop is at fault when half of its timers come later than two budgets: stalls now and then have other causes. */
const LOOP_BUDGETS = 2;

const NONE: DelaySummary = { p50: 0, p99: 0, max: 0 };

/** @param values milliseconds */
export function summariseDelays(values: ArrayLike<number>): DelaySummary {
  if (values.length === 0) {
    return NONE;
  }
  return { p50: percentile(values, 50), p99: percentile(values, 99), max: percentile(values, 100) };
}

/** Watches the event loop of this thread; `stop` must be called, or the process keeps a timer. */
export class LoopWatch {
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: TIMER_INTERVAL_MS });

  start(): void {
    this.#delay.enable();
  }

  stop(): DelaySummary {
    this.#delay.disable();
    // 0 where there was none.
    const delayMs = (intervalNs: number): number =>
      this.#delay.count === 0 ? 0 : Math.max(0, intervalNs / 1e6 - TIMER_INTERVAL_MS);
    return {
      p50: delayMs(this.#delay.percentile(50)),
      p99: delayMs(this.#delay.percentile(99)),
      max: delayMs(this.#delay.max),
    };
  }
}

/** Watches this process while it measures; `stop` must be called, or the process keeps a timer. */
export class ClientWatch {
  readonly #loop = new LoopWatch();
  readonly #cpuAtStart = process.cpuUsage();
  readonly #startedAtMs = performance.now();

  constructor() {
    this.#loop.start();
  }

  /**
   * @param sendLagsMs wall-clock lag of every request that was sent
   * @param ttftsMs wall-clock TTFT of every success: the budget grows with their median
   * @param sending where there may be several threads
   */
  stop(sendLagsMs: ArrayLike<number>, ttftsMs: ArrayLike<number>, sending?: SendingThreads): ClientHealth {
    const ownDelay = this.#loop.stop();
    const cpu = process.cpuUsage(this.#cpuAtStart);
    const sendLagMs = summariseDelays(sendLagsMs);
    const threads = sending?.threads ?? [];
    const eventLoopDelayMs = threads.length === 0 ? ownDelay : worst(threads.map((thread) => thread.eventLoopDelayMs));
    const latestMs = worst([sendLagMs, ...threads.map((thread) => thread.sendLagMs)]).p99;
    const sendLagBudgetMs = Math.max(
      MINIMUM_BUDGET_MS,
      ttftsMs.length > 0 ? median(ttftsMs) * BUDGET_SHARE_OF_TTFT : 0,
    );
    const loopBudgetMs = sendLagBudgetMs * LOOP_BUDGETS;
    const problems = [
      ...(latestMs > sendLagBudgetMs
        ? [
            `Requests left ${latestMs.toFixed(1)} ms late (p99${threads.length === 0 ? '' : ' of a thread'}; ${sendLagBudgetMs.toFixed(1)} ms allowed)`,
          ]
        : []),
      ...(eventLoopDelayMs.p50 > loopBudgetMs
        ? [`the event loop was ${eventLoopDelayMs.p50.toFixed(1)} ms late (p50; ${loopBudgetMs.toFixed(1)} ms allowed)`]
        : []),
    ];
    return {
      sendLagMs,
      eventLoopDelayMs,
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
      wallSeconds: (performance.now() - this.#startedAtMs) / 1000,
      sendLagBudgetMs,
      overloaded: problems.length > 0,
      remedy: problems.length > 0 ? `${sentence(problems.join(', and '))}: ${remedy(sending)}.` : null,
      ...(threads.length === 0 ? {} : { threads }),
    };
  }
}

function worst(summaries: readonly DelaySummary[]): DelaySummary {
  const most = (of: (summary: DelaySummary) => number): number => Math.max(...summaries.map(of));
  return { p50: most(({ p50 }) => p50), p99: most(({ p99 }) => p99), max: most(({ max }) => max) };
}

function remedy(sending: SendingThreads | undefined): string {
  return sending === undefined
    ? 'send fewer at once, or give the client a core of its own'
    : `send fewer at once, give the client a core of its own, or send from more threads (--workers ${sending.tryWorkers})`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

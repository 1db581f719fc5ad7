import type { BenchServeOptions } from '../../workloads/bench/options.js';
import { LiveQuantiles } from '../../workloads/live-quantiles.js';
import { type RequestRecord, ttftSeconds } from '../../workloads/request.js';
import type { WorkloadProgress } from '../../workloads/target.js';

const PLAIN_INTERVAL_MS = 5000;
/** Of long answers only some gaps count: what is measured must not be disturbed. */
const GAPS_AN_ANSWER = 8;

/** What `lmcache-ci bench` shows while it runs: one line that changes on a terminal, else a line now and then. */
export class BenchProgress {
  readonly #output: NodeJS.WriteStream;
  readonly #asked: string;
  readonly #ttfts = new LiveQuantiles();
  readonly #tpots = new LiveQuantiles();
  readonly #itls = new LiveQuantiles();
  #phase = '';
  #phaseStartedAt = 0;
  #nextPlainAt = 0;
  #isLineOpen = false;

  constructor(output: NodeJS.WriteStream, options: BenchServeOptions) {
    this.#output = output;
    const rate = options.requestRate ?? Number.POSITIVE_INFINITY;
    this.#asked = rate === Number.POSITIVE_INFINITY ? '' : ` of ${rate}`;
  }

  record(record: RequestRecord): void {
    const ttft = ttftSeconds(record);
    const last = record.tokenTimes.at(-1);
    if (record.outcome.state !== 'ok' || ttft === null || record.firstTokenAt === null || last === undefined) return;
    this.#ttfts.add(ttft);
    const { length } = record.tokenTimes;
    if (length > 1) this.#tpots.add((last - record.firstTokenAt) / (length - 1));
    const step = Math.ceil(length / GAPS_AN_ANSWER);
    for (let token = 1; token < length; token += step) {
      this.#itls.add((record.tokenTimes[token] ?? 0) - (record.tokenTimes[token - 1] ?? 0));
    }
  }

  update(state: WorkloadProgress): void {
    if (state.total === 0) return;
    const now = performance.now();
    if (state.phase !== this.#phase) {
      this.#phase = state.phase;
      this.#phaseStartedAt = now;
      this.#nextPlainAt = now + PLAIN_INTERVAL_MS;
    }
    const isOver = state.done === state.total;
    if (this.#output.isTTY) {
      this.#output.write(`\r\u001b[2K${this.#describe(state, now).slice(0, (this.#output.columns || 80) - 1)}`);
      this.#isLineOpen = true;
      if (isOver) this.end();
    } else if (isOver || now >= this.#nextPlainAt) {
      this.#nextPlainAt = now + PLAIN_INTERVAL_MS;
      this.#output.write(`${this.#describe(state, now)}\n`);
    }
  }

  /** Whatever is printed next begins a line. */
  end(): void {
    if (this.#isLineOpen) this.#output.write('\n');
    this.#isLineOpen = false;
  }

  #describe({ phase, done, total, failed, inFlight }: WorkloadProgress, now: number): string {
    const seconds = (now - this.#phaseStartedAt) / 1000;
    const rate = seconds > 0 ? done / seconds : 0;
    const parts = [`${phase} ${done}/${total}`];
    if (phase === 'requests') {
      parts.push(`${inFlight} in flight`, `${rate.toFixed(1)}${this.#asked} req/s`);
      parts.push(...shown('TTFT', this.#ttfts), ...shown('TPOT', this.#tpots), ...shown('ITL', this.#itls));
    }
    if (failed > 0) parts.push(`${failed} failed`);
    if (done > 0 && done < total) parts.push(`ETA ${Math.ceil((total - done) / rate)} s`);
    return parts.join(', ');
  }
}

function shown(name: string, values: LiveQuantiles): string[] {
  if (values.isEmpty) return [];
  const ms = (percent: number): string => (values.percentile(percent) * 1000).toFixed(1);
  return [`${name} ms p50 ${ms(50)} p99 ${ms(99)}`];
}

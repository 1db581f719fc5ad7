import type { BenchServeOptions } from '../../workloads/bench/options.js';
import { type RequestRecord, ttftSeconds } from '../../workloads/request.js';
import { percentile } from '../../workloads/statistics.js';
import type { WorkloadProgress } from '../../workloads/target.js';

const PLAIN_INTERVAL_MS = 5000;
/** Percentiles are those of the latest answers: sorting all of them would disturb what is measured. */
const LATEST = 500;
const GAPS_AN_ANSWER = 8;

/** What `lmcache-ci bench` shows while it runs: one line that changes on a terminal, else a line now and then. */
export class BenchProgress {
  readonly #output: NodeJS.WriteStream;
  readonly #asked: string;
  readonly #ttftsMs: number[] = [];
  readonly #tpotsMs: number[] = [];
  readonly #itlsMs: number[] = [];
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
    keep(this.#ttftsMs, ttft * 1000);
    const { length } = record.tokenTimes;
    if (length > 1) {
      keep(this.#tpotsMs, ((last - record.firstTokenAt) * 1000) / (length - 1));
    }
    // Of long answers only some: what is measured must not be disturbed.
    const step = Math.ceil(length / GAPS_AN_ANSWER);
    for (let token = 1; token < length; token += step) {
      keep(this.#itlsMs, ((record.tokenTimes[token] ?? 0) - (record.tokenTimes[token - 1] ?? 0)) * 1000);
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
      parts.push(...shown('TTFT', this.#ttftsMs), ...shown('TPOT', this.#tpotsMs), ...shown('ITL', this.#itlsMs));
    }
    if (failed > 0) parts.push(`${failed} failed`);
    if (done > 0 && done < total) parts.push(`ETA ${Math.ceil((total - done) / rate)} s`);
    return parts.join(', ');
  }
}

function keep(values: number[], value: number): void {
  values.push(value);
  if (values.length > LATEST) values.shift();
}

function shown(name: string, values: readonly number[]): string[] {
  if (values.length === 0) return [];
  return [`${name} ms p50 ${percentile(values, 50).toFixed(1)} p99 ${percentile(values, 99).toFixed(1)}`];
}

import type { ResultRow } from '../../experiments/suite/results-csv.js';
import type { ExperimentResult } from '../../experiments/suite/run-experiment.js';
import type { SuiteReporter } from '../../experiments/suite/run-suite.js';
import { formatDuration, formatQuantity } from '../../report/numbers.js';
import { median } from '../../workloads/statistics.js';
import { ProgressLine } from './progress-line.js';

/** A line for each experiment; on a terminal, what goes on now in the line below. */
export class ExperimentsReporter implements SuiteReporter {
  readonly #output: NodeJS.WriteStream;
  readonly #live: ProgressLine;
  #startedAt = 0;
  #shown = '';

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
    this.#live = new ProgressLine(output);
  }

  functionStarted(name: string, csvPath: string | null): void {
    this.line(csvPath === null ? `${name}: returned no test case, nothing is saved` : `${name} -> ${csvPath}`);
  }

  experimentStarted(id: number, title: string): void {
    this.#startedAt = performance.now();
    this.#shown = `  experiment ${id}: ${title}`;
    this.progress('');
  }

  progress(text: string): void {
    this.#live.update(`${this.#shown}${text === '' ? '' : ` ... ${text}`}`);
  }

  experimentRepeated(id: number, { overload }: ExperimentResult, speed: number | null): void {
    const how = speed === null ? '' : `, at speed x${speed}`;
    this.line(`  experiment ${id}: ${overload ?? 'What it is to show was not there.'} Measured again${how}.`);
  }

  experimentFinished(id: number, title: string, result: ExperimentResult): void {
    const took = formatDuration((performance.now() - this.#startedAt) / 1000);
    const figures = result.engines.map(({ id: engine }) => figuresOf(engine, result.rows)).filter(Boolean);
    this.line(`  experiment ${id}: ${title}, ${took}${figures.map((text) => `; ${text}`).join('')}`);
    if (result.failure !== null) this.line(`  experiment ${id} FAILED: ${result.failure}`);
    if (result.overload !== null) this.line(`  experiment ${id}: ${result.overload}`);
  }

  /** A line that stays. */
  line(text: string): void {
    this.#live.clear();
    this.#output.write(`${text}\n`);
  }
}

function figuresOf(engine: number, rows: readonly ResultRow[]): string {
  const ttfts = rows.flatMap(({ engineId, ttft }) => (engineId === engine && ttft !== null ? [ttft] : []));
  return ttfts.length === 0 ? '' : `engine ${engine} TTFT ${formatQuantity(median(ttfts), 's')} (median)`;
}

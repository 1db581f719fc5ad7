import type { PlannedExperiment } from '../../experiments/sweep/grid.js';
import type { RunningExperiment, SweepObserver, SweepState } from '../../experiments/sweep/run-sweep.js';
import { formatDuration, formatNumber } from '../../report/numbers.js';
import { textTable } from '../../report/text-table.js';
import { secrets } from '../../results-schema/secrets.js';
import type { SweepResult } from '../../results-schema/sweep-summary.js';

const redrawMs = 500;
const plainMs = 30_000;
const stageNames = { data: 'reading data', server: 'starting server', replay: 'replaying', stop: 'stopping' } as const;

/** What a person sees of a sweep: on a terminal a table of the GPUs that is redrawn, else lines. */
export class SweepView implements SweepObserver {
  readonly #output: NodeJS.WriteStream;
  #state: (() => SweepState) | null = null;
  #ticker: NodeJS.Timeout | undefined;
  #drawnLines = 0;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  /** @param state asked whenever something is drawn */
  begin(state: () => SweepState): void {
    this.#state = state;
    this.#ticker = setInterval(() => this.#tick(), this.#output.isTTY ? redrawMs : plainMs);
  }

  end(): void {
    clearInterval(this.#ticker);
    this.#erase();
    this.#state = null;
  }

  line(text: string): void {
    this.#erase();
    this.#output.write(`${secrets.hide(text)}\n`);
    if (this.#output.isTTY) this.#draw();
  }

  started({ name }: PlannedExperiment, gpus: readonly number[]): void {
    if (!this.#output.isTTY) this.line(`${gpuNames(gpus)}: ${name} started`);
  }

  finished({ name, configuration }: PlannedExperiment, result: SweepResult): void {
    if (result.outcome === 'pending') return;
    const took = formatDuration(result.executionSeconds);
    const what =
      result.outcome === 'successful'
        ? successText(result, configuration.mockDecoding)
        : `FAILED (${result.reason}, ${result.cause}): ${result.message}`;
    this.line(`${gpuNames(result.gpus)}: ${name}: ${what} (${took})`);
    if (result.outcome === 'successful') for (const warning of result.warnings) this.line(`  warning: ${warning}`);
    else if (result.evidence.length > 0) for (const line of result.evidence.slice(-5)) this.line(`    ${line}`);
  }

  warned(message: string): void {
    this.line(`warning: ${message}`);
  }

  #tick(): void {
    if (this.#output.isTTY) {
      this.#erase();
      this.#draw();
    } else if (this.#state !== null) this.#output.write(`${totalsText(this.#state())}\n`);
  }

  #draw(): void {
    if (this.#state === null) return;
    const width = Math.max(20, (this.#output.columns || 80) - 1);
    const lines = gpuTable(this.#state())
      .split('\n')
      .map((line) => line.slice(0, width));
    this.#output.write(`${lines.join('\n')}\n`);
    this.#drawnLines = lines.length;
  }

  #erase(): void {
    if (this.#drawnLines > 0) this.#output.write(`\u001b[${this.#drawnLines}A\u001b[J`);
    this.#drawnLines = 0;
  }
}

/** A line for each GPU and what runs there, then the totals. */
export function gpuTable(state: SweepState): string {
  const now = performance.now();
  const onGpu = new Map(state.running.flatMap((running) => running.gpus.map((gpu) => [gpu, running] as const)));
  const rows = Array.from({ length: state.gpuCount }, (_, gpu) => {
    const running = onGpu.get(gpu);
    if (running === undefined) return [`GPU ${gpu}`, 'free', '', '', ''];
    const elapsed = formatDuration((now - running.startedAtMs) / 1000);
    return [`GPU ${gpu}`, running.name, stageNames[running.stage], progressText(running), elapsed];
  });
  return `${textTable(rows, [4])}\n${totalsText(state)}`;
}

function progressText({ progress }: RunningExperiment): string {
  if (progress === null) return '';
  const { done, total, failed, inFlight } = progress;
  return `${done}/${total} answered, ${inFlight} in flight${failed > 0 ? `, ${failed} failed` : ''}`;
}

function totalsText({ running, waiting, successful, failed, total, leftSeconds }: SweepState): string {
  const left = leftSeconds === null ? '' : `, about ${formatDuration(leftSeconds)} left`;
  const ended = `${successful + failed}/${total} experiments done${failed > 0 ? ` (${failed} failed)` : ''}`;
  return `${ended}, ${running.length} running, ${waiting} waiting${left}`;
}

/** With mock_decoding every answer has one token: only prompts say how much went through. */
export function successText(
  { measurement }: Extract<SweepResult, { outcome: 'successful' }>,
  isMocked: boolean,
): string {
  const { ttftMs, requests, outputThroughput, totalTokenThroughput, cache } = measurement;
  const percent = (share: number | null) => (share === null ? 'unknown' : `${(share * 100).toFixed(1)} %`);
  return [
    `${requests.completed} requests`,
    `TTFT ${formatNumber(ttftMs.mean)} ms`,
    isMocked ? `${formatNumber(totalTokenThroughput)} tok/s with prompts` : `${formatNumber(outputThroughput)} tok/s`,
    `hit rate GPU ${percent(cache.gpu.hitRate)}, LMCache ${percent(cache.lmcache.hitRate)}`,
  ].join(', ');
}

function gpuNames(gpus: readonly number[]): string {
  return `GPU ${gpus.join('+')}`;
}

import type { ChalkInstance } from 'chalk';
import ora, { type Ora } from 'ora';
import { painter } from '../report/colors.js';
import type { RunRecord } from '../results-schema/run-record.js';
import type { StepResult } from '../results-schema/step-result.js';
import { type ProgressState, progressText, type Reporter, resultText } from './reporter.js';

/**
 * A terminal that says how wide it is. Some do not (`ssh -tt`, `docker exec -t` of a CI): in 0 columns a line takes infinitely
 * many rows, and ora would clear them for ever.
 */
export function canRedraw(
  stream: { readonly isTTY?: boolean; readonly columns?: number },
  environment: NodeJS.ProcessEnv = process.env,
): boolean {
  return stream.isTTY === true && (stream.columns ?? 0) > 0 && environment['TERM'] !== 'dumb';
}

/** Live steps on a terminal: a spinner, elapsed time, counts and current figures in one line that is redrawn. */
export class TtyReporter implements Reporter {
  readonly #stream: NodeJS.WriteStream;
  readonly #paint: ChalkInstance;
  #spinner: Ora | null = null;
  #title = '';
  #startedAt = 0;
  #state: ProgressState | null = null;
  #ticker: NodeJS.Timeout | undefined;

  /** @param color see `wantsColor` */
  constructor(stream: NodeJS.WriteStream, color: boolean) {
    this.#stream = stream;
    this.#paint = painter(color);
  }

  start(header: readonly string[]): void {
    for (const line of header) this.#above(line);
  }

  stepStarted(_name: string, title: string): void {
    this.#title = title;
    this.#startedAt = performance.now();
    this.#state = null;
    // This reporter is only chosen for a terminal. Ctrl-C must reach our own handler: ora would swallow it with stdin.
    this.#spinner = ora({
      text: title,
      stream: this.#stream,
      isEnabled: true,
      color: this.#paint.level > 0 ? 'cyan' : false,
      discardStdin: false,
      hideCursor: false,
    }).start();
    this.#ticker = setInterval(() => this.#redraw(), 1000);
  }

  log(_step: string | null, message: string): void {
    this.#above(message);
  }

  warn(step: string | null, message: string): void {
    this.#above(`${this.#paint.yellow('warning')} ${step ? `${step}: ` : ''}${message}`);
  }

  progress(_step: string, state: ProgressState): void {
    this.#state = state;
    this.#redraw();
  }

  stepFinished(_name: string, title: string, result: StepResult, durationSeconds: number): void {
    clearInterval(this.#ticker);
    const spinner = this.#spinner;
    this.#spinner = null;
    if (!spinner) return;
    const line = `${this.#paint.bold(title)}: ${resultText(result)} ${this.#paint.gray(`(${durationSeconds.toFixed(1)} s)`)}`;
    if (result.outcome === 'passed') spinner.succeed(line);
    else if (result.outcome === 'failed') spinner.fail(line);
    else if (result.outcome === 'inconclusive') spinner.warn(line);
    else spinner.info(line);
  }

  finish(_record: RunRecord, summary: string): void {
    this.#above(summary);
  }

  #redraw(): void {
    if (!this.#spinner) return;
    const elapsed = this.#paint.gray(`${Math.round((performance.now() - this.#startedAt) / 1000)} s`);
    this.#spinner.text = `${this.#paint.bold(this.#title)}  ${this.#state ? `${progressText(this.#state)}  ` : ''}${elapsed}`;
  }

  /** A line that stays, above what is redrawn. */
  #above(line: string): void {
    this.#spinner?.clear();
    this.#stream.write(`${line}\n`);
    this.#spinner?.render();
  }
}

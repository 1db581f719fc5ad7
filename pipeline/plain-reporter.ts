import type { LogGroups } from '../ci/log-groups.js';
import type { RunRecord } from '../results-schema/run-record.js';
import type { StepResult } from '../results-schema/step-result.js';
import { type ProgressState, progressText, type Reporter, resultText } from './reporter.js';

/** How often a long task says where it is, where no line can be redrawn. */
const progressIntervalMs = 5000;

const marks = { passed: '✅', failed: '❌', inconclusive: '⚠️', skipped: '⏭️' };

/** Plain lines for pipes, files and CI, grouped by step where the CI folds groups. */
export class PlainReporter implements Reporter {
  readonly #groups: LogGroups;
  readonly #write: (line: string) => void;
  #lastProgress = { task: '', text: '', at: 0 };

  constructor(groups: LogGroups, write: (line: string) => void) {
    this.#groups = groups;
    this.#write = write;
  }

  start(header: readonly string[]): void {
    for (const line of header) this.#write(line);
  }

  stepStarted(name: string, title: string): void {
    this.#lastProgress = { task: '', text: '', at: 0 };
    this.#writeAll(this.#groups.start(`${title} (${name})`));
  }

  log(_step: string | null, message: string): void {
    this.#write(this.#groups.output(message));
  }

  warn(step: string | null, message: string): void {
    this.#writeAll(this.#groups.warning(step ?? 'lmcache-ci', message));
  }

  progress(_step: string, state: ProgressState): void {
    const now = performance.now();
    const isComplete = state.total !== undefined && state.done === state.total;
    const isNews =
      state.task !== this.#lastProgress.task || (isComplete && progressText(state) !== this.#lastProgress.text);
    if (!isNews && now - this.#lastProgress.at < progressIntervalMs) return;
    const text = progressText(state);
    this.#lastProgress = { task: state.task, text, at: now };
    this.#write(`  ${text}`);
  }

  stepFinished(name: string, title: string, result: StepResult, durationSeconds: number): void {
    const line = `${marks[result.outcome]} ${title}: ${resultText(result)} (${durationSeconds.toFixed(1)} s)`;
    this.#write(line);
    const decided = result.outcome === 'passed' || result.outcome === 'skipped';
    this.#writeAll(this.#groups.end(!decided));
    if (!decided) this.#writeAll(this.#groups.error(`${name}: ${result.reason}`, result.message));
  }

  finish(_record: RunRecord, summary: string): void {
    this.#write(summary);
  }

  #writeAll(lines: readonly string[]): void {
    for (const line of lines) this.#write(line);
  }
}

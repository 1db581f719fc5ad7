import type { RunRecord, StepRecord } from '../results-schema/run-record.js';
import { painter } from './colors.js';
import type { TextOptions } from './verdict-table.js';

/**
 * A failed or inconclusive step for people: reason and cause, message, evidence. Empty for a step that passed or
 * was skipped. No newline at the end.
 */
export function renderFailure(step: Pick<StepRecord, 'name' | 'title' | 'result'>, options: TextOptions): string {
  const { result } = step;
  if (result.outcome === 'passed' || result.outcome === 'skipped') return '';
  const paint = painter(options.color);
  const lines: string[] = [];
  if (result.outcome === 'failed') {
    lines.push(paint.bold.red(`${step.name} failed: ${result.reason} (${result.cause})`), result.message);
    if (result.evidence.length > 0) lines.push('', ...result.evidence.map((line) => `  ${line}`));
  } else {
    lines.push(paint.bold.yellow(`${step.name} is inconclusive: ${result.reason}`), result.message);
  }
  return lines.join('\n');
}

/** One line for the very end of a run: `FAILED: long-doc-qa: ... (regression, exit code 1)`. */
export function renderOutcome(run: Pick<RunRecord, 'verdict' | 'engine' | 'simulated'>, options: TextOptions): string {
  const paint = painter(options.color);
  const mark = run.engine === 'sim' ? ' [SIMULATED]' : '';
  const { verdict } = run;
  if (verdict === null) return `${paint.yellow('NOT FINISHED')}${mark}`;
  const step = verdict.outcome === 'passed' || verdict.step === null ? '' : `${verdict.step}: `;
  const tail = `${step}${verdict.message}`;
  switch (verdict.outcome) {
    case 'passed':
      return `${paint.bold.green('PASSED')}${mark}: ${tail}`;
    case 'failed':
      return `${paint.bold.red('FAILED')}${mark}: ${tail} (${verdict.reason}, exit code ${verdict.exitCode})`;
    case 'inconclusive':
      return `${paint.bold.yellow('INCONCLUSIVE')}${mark}: ${tail} (${verdict.reason}, exit code ${verdict.exitCode})`;
    case 'interrupted':
      return `${paint.bold.yellow('INTERRUPTED')}${mark}: ${verdict.message} (exit code ${verdict.exitCode})`;
  }
}

import type { ChalkInstance } from 'chalk';
import type { RunRecord, StepRecord } from '../results-schema/run-record.js';
import type { Verdict } from '../results-schema/step-result.js';
import { painter } from './colors.js';
import { formatComparison, formatMargin } from './numbers.js';
import { simulatedMark } from './simulated-mark.js';
import { textTable } from './text-table.js';

export interface TextOptions {
  /** See `wantsColor`. */
  readonly color: boolean;
}

/**
 * The terminal table of every verdict: step, what, measured value, threshold, margin, outcome. A step without
 * verdicts has one row with its outcome. A simulated run says so above the table. No newline at the end.
 */
export function renderVerdictTable(
  run: Pick<RunRecord, 'engine' | 'simulated' | 'steps'>,
  options: TextOptions,
): string {
  const paint = painter(options.color);
  const header = ['Step', 'Verdict', 'Measured', 'Threshold', 'Margin', 'Outcome'].map((cell) => paint.bold(cell));
  const rows = run.steps.flatMap((step) => rowsOfStep(step, paint));
  const mark = simulatedMark(run);
  const table = textTable([header, ...rows], [2, 3, 4]);
  return mark === null ? table : `${paint.bold.yellow(mark)}\n\n${table}`;
}

function rowsOfStep(step: StepRecord, paint: ChalkInstance): string[][] {
  const { result } = step;
  const verdicts = result.outcome === 'skipped' ? [] : result.verdicts;
  const rows = verdicts.map((verdict, index) => [index === 0 ? step.name : '', ...cellsOf(verdict, paint)]);
  const undecided = result.outcome === 'skipped' || result.outcome === 'inconclusive' || result.outcome === 'failed';
  const shown = verdicts.some(({ outcome }) => outcome === result.outcome);
  if (rows.length === 0 || (undecided && !shown)) {
    rows.push([rows.length === 0 ? step.name : '', '', '', '', '', outcomeOf(step, paint)]);
  }
  return rows;
}

function cellsOf(verdict: Verdict, paint: ChalkInstance): string[] {
  const { measured, threshold } = formatComparison(verdict.measured, verdict.threshold, verdict.unit);
  const bound = verdict.comparison === null || verdict.threshold === null ? '' : `${verdict.comparison} ${threshold}`;
  const note = verdict.note === undefined ? '' : ` (${verdict.note})`;
  const margin = verdict.marginPercent === null ? '' : formatMargin(verdict.marginPercent);
  return [verdict.title, measured, bound, margin, paintOutcome(verdict.outcome, paint) + note];
}

function outcomeOf(step: StepRecord, paint: ChalkInstance): string {
  const { result } = step;
  switch (result.outcome) {
    case 'passed':
      return paintOutcome('passed', paint);
    case 'failed':
      return `${paintOutcome('failed', paint)} (${result.reason}, ${result.cause})`;
    case 'inconclusive':
      return `${paintOutcome('inconclusive', paint)} (${result.reason})`;
    case 'skipped':
      return `${paint.dim('skipped')} (${result.why})`;
  }
}

function paintOutcome(outcome: Verdict['outcome'], paint: ChalkInstance): string {
  switch (outcome) {
    case 'passed':
      return paint.green('passed');
    case 'failed':
      return paint.bold.red('FAILED');
    case 'inconclusive':
      return paint.yellow('inconclusive');
    case 'reported':
      return paint.dim('reported');
  }
}

import path from 'node:path';
import type { SummaryStore } from '../../experiments/sweep/summary-store.js';
import { formatDuration } from '../../report/numbers.js';
import { type InterruptSignal, interruptExitCodes } from '../../results-schema/interrupt-signals.js';
import { judgeRun } from '../../results-schema/run-verdict.js';
import type { StepResult } from '../../results-schema/step-result.js';
import type { SweepResult, SweepSummary } from '../../results-schema/sweep-summary.js';
import type { SweepView } from './sweep-view.js';

/** Report, console summary and exit code. */
export async function finishSweep(
  stores: readonly SummaryStore[],
  view: SweepView,
  interruptedBy: InterruptSignal | null,
): Promise<number> {
  for (const store of stores) {
    if (interruptedBy === null) await report(store.root, view);
    for (const line of summaryLines(store.summary, store.root)) view.line(line);
  }
  if (interruptedBy !== null) return interruptExitCodes[interruptedBy];
  return exitCodeOf(stores.flatMap(({ summary }) => summary.experiments));
}

/** 0 all successful; else by the worst failure: 1 the code under test, 2 configuration, 3 no verdict. */
export function exitCodeOf(experiments: SweepSummary['experiments']): number {
  return judgeRun(
    experiments.map(({ name, result }) => ({ name, result: stepResult(result) })),
    null,
  ).exitCode;
}

/** Total, successful, failed, average time: what upstream's runner prints. */
export function summaryLines({ tag, totals, experiments }: SweepSummary, directory: string): string[] {
  const { total, successful, failed, pending, averageExecutionSeconds } = totals;
  const average = averageExecutionSeconds === null ? '-' : formatDuration(averageExecutionSeconds);
  const failures = experiments.flatMap(({ name, serverLog, result }) =>
    result.outcome === 'failed'
      ? [`  failed: ${name}: ${result.message.split('\n')[0]} (${path.join(directory, serverLog)})`]
      : [],
  );
  return [
    '',
    `Sweep ${tag}`,
    `  total experiments:      ${total}`,
    `  successful:             ${successful}`,
    `  failed:                 ${failed}`,
    ...(pending > 0 ? [`  not run:                ${pending} (--resume runs them)`] : []),
    `  average execution time: ${average}`,
    ...failures,
    `  summary: ${path.join(directory, 'summary.json')}`,
  ];
}

/** A report that cannot be made must not hide the results. */
export async function report(directory: string, view: Pick<SweepView, 'line' | 'warned'>): Promise<void> {
  try {
    const { writeSweepReport } = await import('../../report/sweep/write-sweep-report.js');
    const files = await writeSweepReport(path.join(directory, 'summary.json'));
    view.line(`report: ${files.join(', ')}`);
  } catch (error) {
    view.warned(`the report of "${directory}" could not be written: ${error instanceof Error ? error.message : error}`);
  }
}

function stepResult(result: SweepResult): StepResult {
  if (result.outcome === 'successful') return { outcome: 'passed', verdicts: [] };
  if (result.outcome === 'pending') {
    return { outcome: 'failed', reason: 'unknown', cause: 'exception', message: 'not run', evidence: [], verdicts: [] };
  }
  const { reason, cause, message, evidence } = result;
  return { outcome: 'failed', reason, cause, message, evidence, verdicts: [] };
}

import { painter } from '../report/colors.js';
import { renderFailure, renderOutcome } from '../report/failure-text.js';
import { excerptOf, type LogExcerpt, renderLog } from '../report/log-excerpt.js';
import { renderSummary as renderMarkdown } from '../report/summary-markdown.js';
import { renderTimeTable } from '../report/time-table.js';
import { renderVerdictTable } from '../report/verdict-table.js';
import type { RunRecord } from '../results-schema/run-record.js';
import type { Run } from './run.js';
import { type RunPlan, settingValues } from './run-plan.js';

/** Of which the excerpt is made; what an engine says may stand far above the last requests. */
const readLogLines = 1000;

/** What stands above the first step: which run this is, and, on the simulator, a banner that cannot be missed. */
export function runHeader(plan: RunPlan, resultsDir: string, color: boolean): readonly string[] {
  const paint = painter(color);
  const { facts } = plan;
  const values = settingValues(plan.settings);
  const lines = [
    `lmcache-ci run ${paint.bold(facts.buildId)}: ${String(values['MODEL'])}, engine ${facts.engine}, runtime ${facts.runtime}`,
    `results in ${resultsDir}`,
  ];
  if (facts.engine !== 'sim') return lines;
  const banner = [
    'SIMULATED ENGINES: no GPU is used; every number below is modelled, none is measured on hardware.',
    ...(plan.simulatedBecause ? [`Why: ${plan.simulatedBecause}`] : []),
    `Profile ${String(values['SIM_PROFILE'])}, ${String(values['SIM_SPEED'])} times faster than it; times are converted back.`,
  ];
  const width = Math.max(...banner.map((line) => line.length));
  const edge = '#'.repeat(width + 4);
  return [
    ...lines,
    '',
    ...[edge, ...banner.map((line) => `# ${line.padEnd(width)} #`), edge].map((line) => paint.bold.yellow(line)),
    '',
  ];
}

/** The ends of the engines' logs, for a run in which a step failed: what is merely inconclusive is not explained there. */
export async function logExcerpts(run: Run, record: RunRecord): Promise<readonly LogExcerpt[]> {
  if (!record.steps.some(({ result }) => result.outcome === 'failed')) return [];
  const excerpts: LogExcerpt[] = [];
  for (const role of ['lmcache', 'vllm', 'baseline'] as const) {
    const endpoint = run.fleet.find(role);
    if (endpoint?.logPath) excerpts.push(excerptOf(endpoint.logPath, await run.fleet.logTail(role, readLogLines)));
  }
  return excerpts;
}

/** The end of the log for a person: what failed and why, every verdict, where the time went, where the results are. */
export function terminalSummary(
  record: RunRecord,
  resultsDir: string,
  logs: readonly LogExcerpt[],
  color: boolean,
): string {
  const options = { color };
  const failures = record.steps.map((step) => renderFailure(step, options)).filter((text) => text !== '');
  const excerpts = failures.length === 0 ? [] : logs.map((log) => renderLog(log, options));
  const decided = record.steps.filter(({ kind, result }) => kind === 'test' || result.outcome !== 'passed');
  return [
    '',
    ...excerpts,
    ...failures,
    ...(decided.length === 0 ? [] : [renderVerdictTable({ ...record, steps: decided }, options)]),
    renderTimeTable(record, options),
    `${renderOutcome(record, options)}\nresults: ${resultsDir}`,
  ].join('\n\n');
}

/** The same for the CI's summary page. */
export function markdownSummary(record: RunRecord, resultsDir: string, logs: readonly LogExcerpt[]): string {
  return renderMarkdown(record, { resultsDirectory: resultsDir, logs });
}

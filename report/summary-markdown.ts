import type { RunRecord, StepRecord } from '../results-schema/run-record.js';
import type { Verdict } from '../results-schema/step-result.js';
import { describeExcerpt, type LogExcerpt } from './log-excerpt.js';
import { formatComparison, formatDuration, formatMargin } from './numbers.js';
import { simulatedMark } from './simulated-mark.js';
import { timeParts } from './time-table.js';

export interface SummaryOptions {
  /** Where the results lie, as the reader can reach them. */
  readonly resultsDirectory: string;
  /** Ends of logs to show folded under the failure. */
  readonly logs: readonly LogExcerpt[];
}

const outcomeWords: Readonly<Record<Verdict['outcome'] | 'skipped', string>> = {
  passed: '✅ passed',
  failed: '❌ failed',
  inconclusive: '⚠️ inconclusive',
  reported: 'reported',
  skipped: 'skipped',
};

/** A run as Markdown, for GitHub's step summary and Buildkite's annotation. Ends with a newline. */
export function renderSummary(run: RunRecord, options: SummaryOptions): string {
  const blocks = [`## ${heading(run)}`];
  const mark = simulatedMark(run);
  if (mark !== null) blocks.push(`> **${text(mark)}**`);
  blocks.push(
    `Run ${code(run.buildId)}: ${text(run.model)} on ${run.engine === 'sim' ? 'the simulator' : 'vLLM'}, ` +
      `runtime ${run.runtime}. Results: ${code(options.resultsDirectory)}`,
  );
  blocks.push(verdictRows(run.steps));
  for (const step of run.steps) blocks.push(...failureBlocks(step));
  for (const log of options.logs) blocks.push(logBlock(log));
  if (run.timings !== null) blocks.push(timeRows(run.timings));
  return `${blocks.join('\n\n')}\n`;
}

function heading(run: RunRecord): string {
  const simulated = run.engine === 'sim' ? ' (SIMULATED)' : '';
  const { verdict } = run;
  if (verdict === null) return `lmcache-ci: not finished${simulated}`;
  switch (verdict.outcome) {
    case 'passed':
      return `✅ lmcache-ci: passed${simulated}`;
    case 'failed':
      return `❌ lmcache-ci: ${verdict.reason} in ${text(verdict.step ?? 'the run')}${simulated}`;
    case 'inconclusive':
      return `⚠️ lmcache-ci: inconclusive, ${verdict.reason} in ${text(verdict.step ?? 'the run')}${simulated}`;
    case 'interrupted':
      return `⚠️ lmcache-ci: interrupted by ${verdict.signal}${simulated}`;
  }
}

function verdictRows(steps: readonly StepRecord[]): string {
  const rows = steps.flatMap((step) => {
    const verdicts = step.result.outcome === 'skipped' ? [] : step.result.verdicts;
    const took = formatDuration(step.durationSeconds);
    const first = tableRow([`**${text(step.name)}**`, took, '', '', '', outcomeWords[step.result.outcome]]);
    return [first, ...verdicts.map(verdictRow)];
  });
  return ['| Step | Measured | Threshold | Margin | Note | Outcome |', '|---|--:|--:|--:|---|---|', ...rows].join('\n');
}

function verdictRow(verdict: Verdict): string {
  const { measured, threshold } = formatComparison(verdict.measured, verdict.threshold, verdict.unit);
  const bound = verdict.comparison === null || verdict.threshold === null ? '' : `${verdict.comparison} ${threshold}`;
  return tableRow([
    text(verdict.title),
    text(measured),
    text(bound),
    verdict.marginPercent === null ? '' : formatMargin(verdict.marginPercent),
    text(verdict.note ?? ''),
    outcomeWords[verdict.outcome],
  ]);
}

function failureBlocks(step: StepRecord): string[] {
  const { result } = step;
  if (result.outcome !== 'failed' && result.outcome !== 'inconclusive') return [];
  const what = result.outcome === 'failed' ? `${result.reason} (${result.cause})` : `inconclusive: ${result.reason}`;
  const blocks = [`### ${text(step.name)}: ${what}`, text(result.message)];
  if (result.outcome === 'failed' && result.evidence.length > 0) blocks.push(fenced(result.evidence));
  return blocks;
}

function logBlock(log: LogExcerpt): string {
  const title = `${text(log.path)}: ${describeExcerpt(log)}`;
  return `<details><summary>${title}</summary>\n\n${fenced(log.lines)}\n\n</details>`;
}

function timeRows(timings: NonNullable<RunRecord['timings']>): string {
  const rows = [{ name: 'all', seconds: timings.wallSeconds }, ...timeParts(timings)];
  return [
    '| Time | |',
    '|---|--:|',
    ...rows.map(({ name, seconds }) => tableRow([name, formatDuration(seconds)])),
  ].join('\n');
}

function tableRow(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** A fence longer than any run of backticks inside, so that output cannot break out of it. */
function fenced(lines: readonly string[]): string {
  const longest = Math.max(2, ...(lines.join('\n').match(/`+/g) ?? []).map((run) => run.length));
  const fence = '`'.repeat(longest + 1);
  return [`${fence}text`, ...lines, fence].join('\n');
}

/** Text from outside as plain Markdown text on one line: no markup, no HTML, no table cell of its own. */
function text(value: string): string {
  return value
    .replace(/[\r\n]+/g, ' ')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/[\\`*_[\]|#~@]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function code(value: string): string {
  return `<code>${text(value)}</code>`;
}

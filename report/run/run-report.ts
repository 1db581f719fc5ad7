import type { RunRecord, StepRecord } from '../../results-schema/run-record.js';
import type { Verdict } from '../../results-schema/step-result.js';
import type { LineChart } from '../charts/line-chart.js';
import { formatComparison, formatDuration, formatMargin, formatNumber } from '../numbers.js';
import type { Fact, ReportDocument, ReportSection, ReportTable, TableCell } from '../pages/report-document.js';
import { ascending, mean, quantile } from '../quantiles.js';
import { simulatedMark } from '../simulated-mark.js';
import { timeParts } from '../time-table.js';
import type { ComparedLatencies } from './measured-latencies.js';

export interface RunReportInput {
  readonly run: RunRecord;
  readonly latencies: readonly ComparedLatencies[];
  /** Files that are there but cannot be read, each with why. */
  readonly problems: readonly string[];
}

const text = (title: string) => ({ title, numeric: false });
const number = (title: string) => ({ title, numeric: true });

/** A run of the pipeline: how it ended, every verdict, how both servers compare, where the time went, the logs. */
export function runReport({ run, latencies, problems }: RunReportInput): ReportDocument {
  const simulated = simulatedMark(run);
  return {
    title: `lmcache-ci run ${run.buildId}`,
    lead: leadOf(run),
    simulated,
    facts: [...facts(run), ...problems.map((value) => ({ label: 'Cannot be read', value }))],
    sections: [
      { title: 'Verdicts', paragraphs: [], charts: [], tables: [verdictTable(run.steps)] },
      ...failures(run.steps),
      ...comparison(latencies, simulated !== null),
      { title: 'Where the time went', paragraphs: [], charts: [], tables: timeTables(run) },
      ...logs(run),
    ],
  };
}

/** As a reader needs it first: `FAILED: ...`. */
function leadOf({ verdict }: RunRecord): string {
  if (verdict === null) return 'NOT FINISHED.';
  const step = verdict.outcome === 'passed' || verdict.step === null ? '' : `${verdict.step}: `;
  return `${verdict.outcome.toUpperCase()}: ${step}${verdict.message}`;
}

function facts(run: RunRecord): Fact[] {
  const gpus = run.gpus.map(({ index, name }) => `${index}: ${name}`).join(', ');
  const { vllm, lmcache, lmcacheCi } = run.versions;
  const versions = [`lmcache-ci ${lmcacheCi}`, vllm && `vLLM ${vllm}`, lmcache && `LMCache ${lmcache}`].filter(Boolean);
  return [
    { label: 'Model', value: run.model },
    { label: 'Engine', value: `${run.engine === 'sim' ? 'the simulator' : 'vLLM'}, runtime ${run.runtime}` },
    ...(run.image === null
      ? []
      : [{ label: 'Image', value: [run.image.name, run.image.id].filter(Boolean).join(' ') }]),
    ...(gpus === '' ? [] : [{ label: 'GPUs', value: gpus }]),
    { label: 'Versions', value: versions.join(', ') },
    { label: 'Host', value: `${run.host.hostname}: ${run.host.cpuCount} cores, ${run.host.cpuModel}` },
    { label: 'Started', value: run.startedAt },
    ...(run.timings === null ? [] : [{ label: 'Took', value: formatDuration(run.timings.wallSeconds) }]),
  ];
}

function verdictTable(steps: readonly StepRecord[]): ReportTable {
  return {
    caption: 'Steps and what they judged',
    columns: [text('step'), text('measured'), number('value'), number('required'), number('margin'), text('outcome')],
    rows: steps.flatMap((step) => [
      [step.name, '', formatDuration(step.durationSeconds), '', '', outcomeCell(step.result.outcome)],
      ...(step.result.outcome === 'skipped' ? [] : step.result.verdicts).map(verdictRow),
    ]),
  };
}

function verdictRow(verdict: Verdict): TableCell[] {
  const { measured, threshold } = formatComparison(verdict.measured, verdict.threshold, verdict.unit);
  return [
    '',
    verdict.note === undefined ? verdict.title : `${verdict.title} (${verdict.note})`,
    measured,
    verdict.comparison === null || verdict.threshold === null ? '' : `${verdict.comparison} ${threshold}`,
    verdict.marginPercent === null ? '' : formatMargin(verdict.marginPercent),
    outcomeCell(verdict.outcome),
  ];
}

function outcomeCell(outcome: Verdict['outcome'] | 'skipped'): TableCell {
  switch (outcome) {
    case 'passed':
      return { text: outcome, tone: 'good' };
    case 'failed':
      return { text: outcome, tone: 'bad' };
    case 'inconclusive':
      return { text: outcome, tone: 'doubtful' };
    default:
      return outcome;
  }
}

function failures(steps: readonly StepRecord[]): ReportSection[] {
  return steps.flatMap(({ name, result }) => {
    if (result.outcome !== 'failed' && result.outcome !== 'inconclusive') return [];
    const title =
      result.outcome === 'failed'
        ? `${name} failed: ${result.reason} (${result.cause})`
        : `${name} is inconclusive: ${result.reason}`;
    const evidence = result.outcome === 'failed' ? result.evidence : [];
    const tables: ReportTable[] =
      evidence.length === 0 ? [] : [{ caption: 'Evidence', columns: [text('')], rows: evidence.map((line) => [line]) }];
    return [{ title, paragraphs: result.message.split('\n'), charts: [], tables }];
  });
}

function comparison(latencies: readonly ComparedLatencies[], simulated: boolean): ReportSection[] {
  if (latencies.length === 0) return [];
  const servers = ({ lmcache, baseline }: ComparedLatencies) => [
    { name: 'vLLM with LMCache', values: ascending(lmcache) },
    { name: 'vLLM without (baseline)', values: ascending(baseline) },
  ];
  return [
    {
      title: 'With LMCache beside the baseline',
      paragraphs: [
        'How many of the requests were answered within which time: the line farther left is the faster one.',
      ],
      charts: latencies.map(
        (compared): LineChart => ({
          title: compared.title,
          xLabel: compared.label,
          yLabel: 'requests within it (%)',
          xMin: 0,
          yMin: 0,
          yMax: 100,
          simulated,
          series: servers(compared)
            .filter(({ values }) => values.length > 0)
            .map(({ name, values }) => ({ name, points: distribution(values) })),
        }),
      ),
      tables: [
        {
          caption: 'The same in numbers (s)',
          columns: [text('measured'), text('server'), ...['requests', 'mean', 'median', 'p90', 'p99'].map(number)],
          rows: latencies.flatMap((compared) =>
            servers(compared).map(({ name, values }) => [
              compared.title,
              name,
              formatNumber(values.length),
              ...[mean(values), quantile(values, 0.5), quantile(values, 0.9), quantile(values, 0.99)].map((value) =>
                formatNumber(value),
              ),
            ]),
          ),
        },
      ],
    },
  ];
}

/** For each value the share of all that are not above it, in percent. */
function distribution(sorted: readonly number[]): LineChart['series'][number]['points'] {
  return sorted.map((x, index) => ({ x, y: ((index + 1) / sorted.length) * 100 }));
}

function timeTables({ steps, timings }: RunRecord): ReportTable[] {
  const wall = timings?.wallSeconds ?? steps.reduce((sum, step) => sum + step.durationSeconds, 0);
  const row = (name: string, seconds: number): TableCell[] => [
    name,
    formatDuration(seconds),
    wall > 0 ? `${((100 * seconds) / wall).toFixed(1)} %` : '-',
  ];
  const columns = [text(''), number('wall time'), number('share')];
  const parts = timeParts(timings);
  return [
    { caption: 'Steps', columns, rows: steps.map(({ name, durationSeconds }) => row(name, durationSeconds)) },
    ...(parts.length === 0
      ? []
      : [
          {
            caption: 'Parts, which overlap',
            columns,
            rows: [...parts.map(({ name, seconds }) => row(name, seconds)), row('all', wall)],
          },
        ]),
  ];
}

function logs({ files }: RunRecord): ReportSection[] {
  if (files.length === 0) return [];
  return [
    {
      title: 'Logs and results',
      paragraphs: [],
      charts: [],
      tables: [
        {
          caption: 'Files beside this report',
          columns: [text('file'), number('bytes')],
          rows: files.map(({ path, bytes }) => [{ text: path, link: path }, formatNumber(bytes)]),
        },
      ],
    },
  ];
}

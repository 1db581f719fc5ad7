import type { SweepExperiment, SweepMeasurement, SweepSummary } from '../../results-schema/sweep-summary.js';
import { groupBy } from '../group-by.js';
import { countOf, formatDuration, formatFixed, formatNumber } from '../numbers.js';
import type { ReportTable, TableCell } from '../pages/report-document.js';
import { measurementOf, percent, type SweepFigure, throughputOf } from './sweep-figures.js';

const text = (title: string) => ({ title, numeric: false });
const number = (title: string) => ({ title, numeric: true });

/** One row an experiment, in the order given. */
export function experimentsTable(caption: string, experiments: readonly SweepExperiment[]): ReportTable {
  const throughput = throughputOf(experiments);
  return {
    caption,
    columns: [
      number('cache (GB)'),
      number('rate (req/s)'),
      text('eviction'),
      number('requests'),
      number('failed'),
      number('TTFT mean (ms)'),
      number('median'),
      number('p99'),
      number(throughput.label),
      number('GPU hits (%)'),
      number('LMCache hits (%)'),
      number('all hits (%)'),
      text('outcome'),
    ],
    rows: experiments.map((experiment) => [
      formatNumber(experiment.configuration.cacheSizeGb),
      formatNumber(experiment.configuration.requestRate),
      experiment.configuration.conversationEviction ? 'conversation' : 'LRU',
      ...figureCells(measurementOf(experiment), throughput),
      outcomeCell(experiment),
    ]),
  };
}

function figureCells(measured: SweepMeasurement | null, throughput: SweepFigure): readonly string[] {
  if (measured === null) return Array.from({ length: 9 }, () => '-');
  const { requests, ttftMs, cache } = measured;
  return [
    formatNumber(requests.completed),
    formatNumber(requests.failed),
    ...[ttftMs.mean, ttftMs.median, ttftMs.p99, throughput.of(measured)].map((value) => formatFixed(value, 1)),
    ...[cache.gpu.hitRate, cache.lmcache.hitRate, cache.combinedHitRate].map((rate) => formatFixed(percent(rate), 1)),
  ];
}

function outcomeCell({ result, serverLog }: SweepExperiment): TableCell {
  switch (result.outcome) {
    case 'pending':
      return { text: 'not run yet', tone: 'doubtful' };
    case 'failed':
      return { text: 'failed', tone: 'bad', link: serverLog };
    case 'successful':
      return result.warnings.length > 0 ? { text: 'warnings', tone: 'doubtful' } : { text: 'ok', tone: 'good' };
  }
}

/** Why experiments failed, and where to read on. */
export function failuresTable({ experiments }: SweepSummary): ReportTable {
  const failures = experiments.flatMap(({ name, result, serverLog, clientLog }): TableCell[][] => {
    if (result.outcome !== 'failed') return [];
    const why = `${result.reason} (${result.cause}): ${result.message}`;
    return [[name, why, { text: 'server', link: serverLog }, { text: 'client', link: clientLog }]];
  });
  return {
    caption: 'Failed experiments',
    columns: [text('experiment'), text('why'), text('log'), text('log')],
    rows: failures,
  };
}

/** What is to be known of the figures of those that did not fail; what holds for several is told once. */
export function warningsTable({ experiments }: SweepSummary): ReportTable {
  const told = experiments.flatMap(({ name, result }) =>
    result.outcome === 'successful' ? result.warnings.map((warning) => ({ name, warning })) : [],
  );
  return {
    caption: 'Experiments with warnings',
    columns: [text('warning'), text('experiments')],
    rows: [...groupBy(told, ({ warning }) => warning)].map(([warning, of]): TableCell[] => [
      warning,
      of.length === experiments.length && of.length > 1
        ? `all ${formatNumber(of.length)}`
        : of.map(({ name }) => name).join(', '),
    ]),
  };
}

export function totalsLine({ totals, experiments }: SweepSummary): string {
  const parts = [countOf(totals.total, 'experiment'), `${formatNumber(totals.successful)} successful`];
  if (totals.failed > 0) parts.push(`${formatNumber(totals.failed)} failed`);
  if (totals.pending > 0) parts.push(`${formatNumber(totals.pending)} not run yet`);
  const warned = experiments.filter(
    ({ result }) => result.outcome === 'successful' && result.warnings.length > 0,
  ).length;
  if (warned > 0) parts.push(`${formatNumber(warned)} with warnings (at the end)`);
  const average = totals.averageExecutionSeconds;
  return `${parts.join(', ')}${average === null ? '' : `; ${formatDuration(average)} each on average`}.`;
}

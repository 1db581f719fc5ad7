import type { SweepSummary } from '../../results-schema/sweep-summary.js';
import type { Fact, ReportDocument, ReportSection, ReportTable } from '../pages/report-document.js';
import { simulatedSentence } from '../simulated-mark.js';
import { curves, paretoChart } from './sweep-charts.js';
import { type SweepGroup, sweepGroups } from './sweep-groups.js';
import { experimentsTable, failuresTable, totalsLine, warningsTable } from './sweep-tables.js';

/**
 * A sweep's report: for each model and data set the curves over cache size and request rate, the Pareto front, and
 * the figures of every experiment; before that what failed.
 */
export function sweepReport(summary: SweepSummary): ReportDocument {
  const simulated = summary.engine === 'sim' || summary.simulated !== null;
  return {
    title: `Sweep ${summary.tag}`,
    lead: totalsLine(summary),
    simulated: simulated ? simulatedSentence(summary.simulated) : null,
    facts: facts(summary),
    sections: [
      ...tableSection('Failures', failuresTable(summary)),
      ...sweepGroups(summary.experiments).map((group, index) => groupSection(group, simulated, index > 0)),
      ...tableSection('Warnings', warningsTable(summary)),
    ],
  };
}

function facts({ definition, environment, shard, gridSize, versions, createdAt, updatedAt }: SweepSummary): Fact[] {
  const file = definition.file ?? 'the demo';
  return [
    { label: 'Defined in', value: definition.document === 1 ? file : `${file}, document ${definition.document}` },
    { label: 'Environment', value: environment },
    ...(shard === null
      ? []
      : [{ label: 'Shard', value: `${shard.index} of ${shard.of}; the whole grid has ${gridSize} experiments` }]),
    ...(versions.vllm === null ? [] : [{ label: 'vLLM', value: versions.vllm }]),
    { label: 'Ran', value: `${shortTime(createdAt)} to ${shortTime(updatedAt)} UTC` },
  ];
}

function tableSection(title: string, table: ReportTable): readonly ReportSection[] {
  return table.rows.length === 0 ? [] : [{ title, paragraphs: [], charts: [], tables: [table] }];
}

/** `2025-11-22T10:15:00.000Z` as `2025-11-22 10:15`. */
function shortTime(iso: string): string {
  return iso.slice(0, 16).replace('T', ' ');
}

function groupSection({ title, experiments }: SweepGroup, simulated: boolean, newPage: boolean): ReportSection {
  const pareto = paretoChart(experiments, simulated);
  const charts = curves(experiments, simulated);
  return {
    title,
    paragraphs:
      charts.length > 0
        ? ['Low TTFT, high throughput and a high hit rate are good. A gap is an experiment that failed.']
        : [],
    charts: [...charts, ...(pareto === null ? [] : [pareto.chart])],
    tables: [
      ...(pareto === null ? [] : [experimentsTable(`${title}: on the Pareto front`, pareto.front)]),
      experimentsTable(`${title}: all experiments`, experiments),
    ],
    newPage,
  };
}

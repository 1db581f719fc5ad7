import type { ExperimentRow, ParsedExperimentCsv } from '../../results-schema/experiment-csv.js';
import type { ExperimentNotes } from '../../results-schema/experiment-notes.js';
import type { LineChart } from '../charts/line-chart.js';
import { groupBy } from '../group-by.js';
import { countOf, formatNumber } from '../numbers.js';
import type { Fact, ReportDocument, ReportSection, ReportTable, TableCell } from '../pages/report-document.js';
import { ascending, mean, quantile } from '../quantiles.js';
import { simulatedSentence } from '../simulated-mark.js';

/**
 * The pages of a test function: for each experiment TTFT and throughput over the requests, one line an engine, then
 * GPU memory over the experiments.
 */
export function experimentReport(
  name: string,
  csv: ParsedExperimentCsv,
  notes: ExperimentNotes | null,
): ReportDocument {
  const experiments = [...groupBy(csv.rows, (row) => row.expr_id)].sort(([left], [right]) => left - right);
  const simulated = notes?.simulated ?? null;
  const context: Context = { notes, simulated: simulated !== null };
  const failures = notes?.experiments.filter(({ failure }) => failure !== null) ?? [];
  const overloaded = notes?.experiments.filter(({ clientOverloaded }) => clientOverloaded === true) ?? [];
  const repeated = notes?.experiments.filter(({ simulatedSpeed }) => simulatedSpeed !== undefined) ?? [];
  const engines = new Set(csv.rows.map((row) => row.engine_id)).size;
  const failed = csv.rows.filter(isFailed).length;
  const counts = [
    countOf(experiments.length, 'experiment'),
    countOf(engines, 'engine'),
    `${countOf(csv.rows.length, 'request')}${failed === 0 ? '' : `, of which ${failed} failed`}`,
  ];
  const facts: Fact[] = [
    ...(notes?.model == null ? [] : [{ label: 'Model', value: notes.model }]),
    ...csv.notes.map((value) => ({ label: 'Note', value })),
    ...overloaded.map(({ id, title }) => ({
      label: `Experiment ${id} (${title})`,
      value: 'the client was overloaded: requests left late, their figures decide nothing',
    })),
    ...repeated.map(({ id, title, simulatedSpeed }) => ({
      label: `Experiment ${id} (${title})`,
      value: `simulated at speed x${formatNumber(simulatedSpeed ?? null)}: the machine was too busy for x${formatNumber(simulated?.speed ?? null)}`,
    })),
    ...failures.map(({ id, title, failure }) => ({
      label: `Experiment ${id} (${title}) failed`,
      value: failure ?? '',
    })),
  ];
  return {
    title: name,
    lead: `${counts.join(', ')}. Lower TTFT and higher throughput are better.`,
    simulated: simulated === null ? null : simulatedSentence(simulated),
    facts,
    sections: [
      ...experiments.map(([id, rows], index) => experimentSection(id, rows, index > 0, context)),
      ...memorySection(experiments, context),
    ],
  };
}

interface Context {
  readonly notes: ExperimentNotes | null;
  readonly simulated: boolean;
}

function experimentSection(
  id: number,
  rows: readonly ExperimentRow[],
  newPage: boolean,
  context: Context,
): ReportSection {
  const title = `Experiment ${id}`;
  const what = context.notes?.experiments.find((experiment) => experiment.id === id)?.title ?? describeLengths(rows);
  const engines = [...groupBy(rows, (row) => row.engine_id)].sort(([left], [right]) => left - right);
  const chart = (metric: 'TTFT' | 'throughput', yLabel: string, room: number): LineChart => {
    const values = rows.flatMap((row) => row[metric] ?? []);
    return {
      title: `${title}: ${metric}`,
      xLabel: 'request',
      yLabel,
      yMin: 0,
      yMax: values.reduce((left, value) => Math.max(left, value), 0) + room,
      simulated: context.simulated,
      series: engines.map(([engine, own]) => ({
        name: engineName(id, engine, context),
        points: inRequestOrder(own).map((row) => ({ x: row.request_id, y: row[metric] })),
      })),
    };
  };
  return {
    title,
    paragraphs: [what],
    charts: [chart('TTFT', 'TTFT (s)', 0.5), chart('throughput', 'throughput (tokens/s)', 10)],
    tables: [engineTable(id, engines, context)],
    newPage,
  };
}

function engineTable(
  id: number,
  engines: readonly (readonly [number, readonly ExperimentRow[]])[],
  context: Context,
): ReportTable {
  const withLatency = engines.some(([, rows]) => rows.some((row) => row.latency !== undefined));
  const titles = ['requests', 'failed', 'TTFT mean (s)', 'median (s)', 'p99 (s)', 'throughput (tokens/s)'];
  return {
    caption: `Experiment ${id}: engines`,
    columns: [
      { title: 'engine', numeric: false },
      ...[...titles, ...(withLatency ? ['latency mean (s)'] : [])].map((title) => ({ title, numeric: true })),
    ],
    rows: engines.map(([engine, rows]): TableCell[] => {
      const ttfts = ascending(rows.flatMap((row) => row.TTFT ?? []));
      const failed = rows.filter(isFailed).length;
      const figures = [
        mean(ttfts),
        quantile(ttfts, 0.5),
        quantile(ttfts, 0.99),
        mean(rows.flatMap((row) => row.throughput ?? [])),
        ...(withLatency ? [mean(rows.flatMap((row) => row.latency ?? []))] : []),
      ];
      return [
        engineName(id, engine, context),
        formatNumber(rows.length),
        failed === 0 ? '0' : { text: formatNumber(failed), tone: 'bad' },
        ...figures.map((value) => formatNumber(value)),
      ];
    }),
  };
}

/** Every row of an experiment repeats what its GPUs held; the largest counts. */
function memorySection(
  experiments: readonly (readonly [number, readonly ExperimentRow[]])[],
  context: Context,
): readonly ReportSection[] {
  const used = experiments.map(([id, rows]) => {
    const byGpu = new Map<string, number>();
    for (const [gpu, mib] of rows.flatMap((row) => Object.entries(row.gpu_memory))) {
      byGpu.set(gpu, Math.max(byGpu.get(gpu) ?? 0, mib));
    }
    return { id, byGpu };
  });
  const gpus = [...new Set(used.flatMap(({ byGpu }) => [...byGpu.keys()]))].sort((left, right) =>
    left.localeCompare(right, 'en', { numeric: true }),
  );
  if (gpus.length === 0) return [];
  const gib = (mib: number | undefined) => (mib === undefined ? null : mib / 1024);
  return [
    {
      title: 'GPU memory',
      paragraphs: ['What each GPU held before the engines of the experiment were closed, in GiB.'],
      charts: [
        {
          title: 'GPU memory over the experiments',
          xLabel: 'experiment',
          yLabel: 'GPU memory (GiB)',
          yMin: 0,
          xTicks: used.map(({ id }) => id),
          simulated: context.simulated,
          series: gpus.map((gpu) => ({
            name: gpu,
            points: used.map(({ id, byGpu }) => ({ x: id, y: gib(byGpu.get(gpu)) })),
          })),
        },
      ],
      tables: [],
      newPage: true,
    },
  ];
}

function engineName(experiment: number, engine: number, { notes }: Context): string {
  const named = notes?.experiments.find(({ id }) => id === experiment)?.engines.find(({ id }) => id === engine);
  return named === undefined ? `engine ${engine}` : `engine ${engine}: ${named.name}`;
}

function describeLengths(rows: readonly ExperimentRow[]): string {
  const range = (values: readonly number[]) => {
    const [low, high] = [ascending(values)[0] ?? 0, ascending(values).at(-1) ?? 0];
    return low === high ? formatNumber(low) : `${formatNumber(low)} to ${formatNumber(high)}`;
  };
  const contexts = range(rows.map((row) => row.context_len));
  return `Context of ${contexts} tokens, query of ${range(rows.map((row) => row.query_len))} tokens.`;
}

function isFailed(row: ExperimentRow): boolean {
  return row.TTFT === null;
}

function inRequestOrder(rows: readonly ExperimentRow[]): ExperimentRow[] {
  return [...rows].sort((left, right) => left.request_id - right.request_id);
}

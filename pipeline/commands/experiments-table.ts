import { type Difference, describeSide } from '../../experiments/suite/differences.js';
import type { FunctionResult } from '../../experiments/suite/run-suite.js';
import { formatNumber, formatQuantity } from '../../report/numbers.js';
import { textTable } from '../../report/text-table.js';

const units = { TTFT: 's', throughput: 'tok/s', latency: 's' } as const;

/** For each engine pair the ratio it demonstrates, one line an experiment. */
export function differencesTable(results: readonly FunctionResult[]): string {
  const head = ['test function', 'experiment', 'shows', 'better', 'worse', 'ratio', 'at least', ''];
  const rows = results.flatMap(({ name, differences, notes }) =>
    differences.map((difference) => [
      name,
      notes?.experiments.find(({ id }) => id === difference.experimentId)?.title ?? String(difference.experimentId),
      `${difference.shows.what} (${difference.shows.metric})`,
      side(difference, 'better'),
      side(difference, 'worse'),
      difference.ratio === null ? '-' : formatNumber(difference.ratio, 3),
      formatNumber(difference.atLeast),
      difference.outcome === 'not shown' ? 'NOT SHOWN' : difference.outcome,
    ]),
  );
  return rows.length === 0 ? 'No test case says what it shows.' : textTable([head, ...rows], [5, 6]);
}

function side({ shows, better, worse }: Difference, which: 'better' | 'worse'): string {
  const value = which === 'better' ? better : worse;
  return `${formatQuantity(value, units[shows.metric])} (${describeSide(shows[which])})`;
}

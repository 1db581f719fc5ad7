import { formatFixed, formatNumber } from '../../report/numbers.js';
import { textTable } from '../../report/text-table.js';
import { type Comparison, errorsOf } from '../../simulator/calibration/compare.js';
import type { ComparedRecording } from '../../simulator/calibration/cross-validate.js';

/** Every case, predicted and measured. */
export function describeCases(all: readonly ComparedRecording[]): string {
  const rows = all.flatMap(({ recording, comparisons }) =>
    comparisons.map(({ group, part, label, predicted, measured, unit, error }) => [
      recording.name,
      group,
      part,
      label,
      `${formatNumber(predicted)} ${unit}`,
      `${formatNumber(measured)} ${unit}`,
      percent(error),
    ]),
  );
  return textTable([['recording', 'what', 'used for', 'case', 'predicted', 'measured', 'error'], ...rows], [4, 5, 6]);
}

/** Median and worst error of each kind of case, training and validation apart. */
export function describeErrors(all: readonly ComparedRecording[]): string {
  const rows = all.flatMap(({ recording, comparisons }) =>
    groupsOf(comparisons).flatMap((group) =>
      (['training', 'validation'] as const).flatMap((part) => {
        const own = comparisons.filter((entry) => entry.group === group && entry.part === part);
        if (own.length === 0) return [];
        const { median, worst } = errorsOf(own);
        return [[recording.name, group, part, String(own.length), percent(median), percent(worst)]];
      }),
    ),
  );
  return textTable([['recording', 'what', 'used for', 'cases', 'median error', 'worst error'], ...rows], [3, 4, 5]);
}

export function describeChanges(
  profileName: string,
  changes: readonly { readonly path: string; readonly before: number; readonly after: number }[],
): string {
  if (changes.length === 0) return `profile "${profileName}" as it is`;
  const rows = changes.map(({ path, before, after }) => [
    path,
    formatNumber(before),
    formatNumber(after),
    percent(after / before - 1),
  ]);
  return textTable([['constant', 'before', 'fitted', 'change'], ...rows], [1, 2, 3]);
}

/** One row a recording that was left out: median and worst error of each kind of case. */
export function describeCrossValidation(all: readonly ComparedRecording[]): string {
  const groups = groupsOf(all.flatMap(({ comparisons }) => comparisons));
  const columns: readonly (readonly [string, (entry: Comparison) => boolean])[] = [
    ['TTFT, cold', ({ group, label }) => group === 'TTFT' && label.endsWith('cold')],
    ...groups.map((name) => [name, ({ group }: Comparison) => group === name] as const),
    ['query TTFT', ({ label }) => label.endsWith('queries, TTFT')],
  ];
  const shown = columns.filter(([, belongs]) => all.some(({ comparisons }) => comparisons.some(belongs)));
  const rows = all.map(({ recording, comparisons }) => [
    recording.name,
    ...shown.map(([, belongs]) => {
      const { median, worst } = errorsOf(comparisons.filter(belongs));
      return Number.isNaN(worst) ? '' : `${percent(median)}, ${percent(worst)}`;
    }),
  ]);
  const table = textTable(
    [['left out', ...shown.map(([title]) => title)], ...rows],
    shown.map((_, index) => index + 1),
  );
  return `fitted on all recordings but one, errors of that one: median, worst\n\n${table}`;
}

function groupsOf(comparisons: readonly Comparison[]): readonly Comparison['group'][] {
  return [...new Set(comparisons.map(({ group }) => group))];
}

function percent(share: number): string {
  return `${formatFixed(share * 100, 1)} %`;
}

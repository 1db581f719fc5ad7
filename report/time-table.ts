import type { RunRecord } from '../results-schema/run-record.js';
import { painter } from './colors.js';
import { formatDuration } from './numbers.js';
import { simulatedMark } from './simulated-mark.js';
import { textTable } from './text-table.js';
import type { TextOptions } from './verdict-table.js';

/**
 * Where the time went: each step's wall time and share, what lay between them (waiting for virtual environments
 * and prompts, above all), then the parts that own-time.ts tells apart.
 * Parts overlap, so they need not add up. No newline at the end.
 */
export function renderTimeTable(
  run: Pick<RunRecord, 'engine' | 'simulated' | 'steps' | 'timings'>,
  options: TextOptions,
): string {
  const paint = painter(options.color);
  const wall = run.timings?.wallSeconds ?? run.steps.reduce((sum, step) => sum + step.durationSeconds, 0);
  const row = (name: string, seconds: number): string[] => [name, formatDuration(seconds), share(seconds, wall)];
  const rows = [
    ['Where the time went', 'Wall time', 'Share'].map((cell) => paint.bold(cell)),
    ...run.steps
      .filter(({ result }) => result.outcome !== 'skipped')
      .map((step) => row(step.name, step.durationSeconds)),
  ];
  const between = wall - run.steps.reduce((sum, step) => sum + step.durationSeconds, 0);
  if (between > 0.05) rows.push(row('between steps', between));
  const parts = timeParts(run.timings);
  if (parts.length > 0) rows.push([paint.dim('of which'), '', '']);
  rows.push(...parts.map(({ name, seconds }) => row(`  ${name}`, seconds)), row('all', wall));
  const table = textTable(rows, [1, 2]);
  const mark = simulatedMark(run);
  return mark === null ? table : `${paint.yellow('SIMULATED engines; wall times of this machine')}\n${table}`;
}

/** The parts of a run's wall time worth a row, with the names people know them by. */
export function timeParts(
  timings: RunRecord['timings'],
): readonly { readonly name: string; readonly seconds: number }[] {
  if (timings === null) return [];
  return [
    { name: 'image build', seconds: timings.buildSeconds },
    { name: 'engine start', seconds: timings.engineStartSeconds },
    { name: 'workloads', seconds: timings.workloadSeconds },
    { name: 'child processes', seconds: timings.childSeconds },
    { name: 'stopping engines', seconds: timings.stopGraceSeconds },
    { name: "lmcache-ci's own", seconds: timings.ownSeconds },
  ].filter(({ seconds }) => seconds > 0);
}

function share(seconds: number, wall: number): string {
  return wall > 0 ? `${((100 * seconds) / wall).toFixed(1)} %` : '-';
}

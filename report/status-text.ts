import type { RunStatus } from '../results-schema/run-status.js';

/** A run's status for a person: how it ended, each step, what is there, what is missing and why. */
export function renderStatus(status: RunStatus, root: string): string {
  const width = Math.max(0, ...status.steps.map(({ name }) => name.length));
  const steps = status.steps.map(
    ({ name, state, why }) => `  ${name.padEnd(width)}  ${state}${why === '' ? '' : `: ${why}`}`,
  );
  const list = (title: string, lines: readonly string[]) => (lines.length === 0 ? [] : ['', title, ...lines]);
  const valid = status.files.filter(({ state }) => state === 'valid');
  const others = status.files.filter(({ state }) => state !== 'valid');
  return [
    `run ${status.buildId ?? 'unknown'} in ${root}`,
    `${status.state}: ${status.summary}`,
    ...list('steps', steps),
    ...list(
      `there (${valid.length} files)`,
      valid.map(({ path }) => `  ${path}`),
    ),
    ...list(
      'missing or not usable',
      others.map(({ path, state, why }) => `  ${path}  ${state}${why === null ? '' : `: ${why}`}`),
    ),
    ...list(
      'problems',
      status.problems.map((problem) => `  ${problem}`),
    ),
  ].join('\n');
}

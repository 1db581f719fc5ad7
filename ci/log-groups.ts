import type { CiProvider } from './ci-environment.js';

/** Lines that a CI system folds its log by. All functions return whole lines, without the newline at the end. */
export interface LogGroups {
  /** Opens a group. */
  start(title: string): readonly string[];
  /** Closes the open group. `failed`: the group stays visible (Buildkite). */
  end(failed: boolean): readonly string[];
  /** A line the CI shows as an error of the build, e.g. with the reason of a failure as title. */
  error(title: string, message: string): readonly string[];
  warning(title: string, message: string): readonly string[];
  /**
   * A line of output as it may go to the log. GitHub obeys any line that starts with `::` or contains `##[`,
   * and engines print what they like: such a line is kept readable but powerless.
   */
  output(line: string): string;
}

/** The grouping of a CI system; without one, plain titles. */
export function createLogGroups(provider: CiProvider): LogGroups {
  switch (provider) {
    case 'github-actions':
      return githubActions;
    case 'buildkite':
      return buildkite;
    case 'none':
      return plain;
  }
}

/** Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions */
const githubActions: LogGroups = {
  start: (title) => [`::group::${escapeData(title)}`],
  end: () => ['::endgroup::'],
  error: (title, message) => [`::error title=${escapeProperty(title)}::${escapeData(message)}`],
  warning: (title, message) => [`::warning title=${escapeProperty(title)}::${escapeData(message)}`],
  output: (line) => powerless(line),
};

/** Group titles: https://buildkite.com/docs/pipelines/configure/managing-log-output */
const buildkite: LogGroups = {
  start: (title) => [`--- ${oneLine(title)}`],
  /** `^^^ +++` opens the group it stands in, so that a failure is visible without a click. */
  end: (failed) => (failed ? ['^^^ +++'] : []),
  error: (title, message) => [`ERROR: ${oneLine(title)}: ${oneLine(message)}`],
  warning: (title, message) => [`WARNING: ${oneLine(title)}: ${oneLine(message)}`],
  output: (line) => (/^(---|\+\+\+|~~~|\^\^\^) /.test(line) ? ` ${line}` : line),
};

const plain: LogGroups = {
  start: (title) => [`=== ${oneLine(title)} ===`],
  end: () => [],
  error: (title, message) => [`ERROR: ${oneLine(title)}: ${oneLine(message)}`],
  warning: (title, message) => [`WARNING: ${oneLine(title)}: ${oneLine(message)}`],
  output: (line) => line,
};

/** The escapes of GitHub's own toolkit (actions/toolkit, packages/core/src/command.ts). */
function escapeData(text: string): string {
  return text.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replace(/:/g, '%3A').replace(/,/g, '%2C');
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ');
}

/** The runner trims a line and looks for `::` at its start, and for the older `##[command` anywhere. */
function powerless(line: string): string {
  return line.replace(/^(\s*):(?=:)/, '$1\u200b:').replace(/##\[/g, '#\u200b#[');
}

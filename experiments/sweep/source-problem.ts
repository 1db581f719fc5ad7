/** One thing that is wrong in a file, and where. */
export interface SourceProblem {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  readonly message: string;
}

const mostShown = 50;

/** A file that cannot be used: all that is wrong with it at once. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly problems: readonly SourceProblem[];

  constructor(file: string, problems: readonly SourceProblem[]) {
    const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
    const lines = sorted
      .slice(0, mostShown)
      .map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`);
    const more = sorted.length - lines.length;
    super([...lines, ...(more > 0 ? [`... and ${more} more`] : [])].join('\n'));
    this.problems = sorted;
  }
}

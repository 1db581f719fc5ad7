import stripAnsi from 'strip-ansi';

/**
 * Columns two spaces apart, each as wide as its widest cell (colour codes do not count), no trailing blanks.
 * @param alignRight indexes of columns of numbers
 */
export function textTable(rows: readonly (readonly string[])[], alignRight: readonly number[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, visibleLength(cell));
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const padding = ' '.repeat((widths[column] ?? 0) - visibleLength(cell));
          return alignRight.includes(column) ? padding + cell : cell + padding;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function visibleLength(text: string): number {
  return stripAnsi(text).length;
}

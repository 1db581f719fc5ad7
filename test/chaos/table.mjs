/** What was tried and how it ended, fault by fault. */
export class Table {
  #rows = new Map();
  misses = 0;
  tried = 0;

  /** Prints the try at once, with what was wrong. */
  add(fault, { at, survived, right, said }) {
    const row = this.#rows.get(fault) ?? { tried: 0, survived: 0, right: 0 };
    this.#rows.set(fault, row);
    this.tried += 1;
    row.tried += 1;
    if (survived) row.survived += 1;
    if (right) row.right += 1;
    const isMiss = !survived || !right;
    if (isMiss) this.misses += 1;
    console.log(`${isMiss ? 'MISS' : 'ok  '} ${fault} ${at}`);
    for (const text of said) console.log(`     ${text.replaceAll('\n', '\n     ')}`);
  }

  text() {
    const width = Math.max(5, ...[...this.#rows.keys()].map((name) => name.length));
    const cells = [...this.#rows].map(([name, { tried, survived, right }]) =>
      [name.padEnd(width), String(tried).padStart(5), String(survived).padStart(8), String(right).padStart(12)].join(
        '  ',
      ),
    );
    return [`\n${'fault'.padEnd(width)}  tried  survived  right reason`, ...cells].join('\n');
  }
}

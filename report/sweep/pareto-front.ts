/** What is judged: low `cost` and high `gain` are good. */
export interface Tradeoff {
  readonly cost: number;
  readonly gain: number;
}

/**
 * Those that no other beats in both: by rising cost, each with more gain than all before it. Of equals the first.
 */
export function paretoFront<Item extends Tradeoff>(items: readonly Item[]): readonly Item[] {
  const sorted = [...items].sort((left, right) => left.cost - right.cost || right.gain - left.gain);
  let best = Number.NEGATIVE_INFINITY;
  return sorted.filter(({ gain }) => {
    if (gain <= best) return false;
    best = gain;
    return true;
  });
}

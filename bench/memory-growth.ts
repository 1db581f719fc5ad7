/** Fewer say nothing of a trend. */
const fewestCycles = 20;

/**
 * What a cycle adds to memory once everything is loaded: the least-squares slope of the later half.
 * @param heapKiB after each cycle
 * @returns KiB a cycle; null when there are too few to tell
 */
export function growthOf(heapKiB: readonly number[]): number | null {
  const later = heapKiB.slice(Math.floor(heapKiB.length / 2));
  if (later.length < fewestCycles) return null;
  const middle = (later.length - 1) / 2;
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return (
    sum(later.map((value, index) => (index - middle) * value)) / sum(later.map((_, index) => (index - middle) ** 2))
  );
}

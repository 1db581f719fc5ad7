import type { RecordedCase, TtftCase } from './cases.js';

/** Whether constants may be fitted on a case, or only held against it. */
export type Part = 'training' | 'validation';

/**
 * Which cases constants are fitted on: every other prompt length and every other batch size, down from the
 * largest; the long-document warm-up and the bench of the engine without LMCache (for what no quiet engine shows).
 * All else is validation: the lengths and batches between, every round of the engine with LMCache and every round of
 * queries, and prompts that come at given times.
 */
export function partsOf(cases: readonly RecordedCase[]): readonly Part[] {
  const lengths = ranked(cases, (entry) => (entry.kind === 'ttft' ? lengthOf(entry) : null));
  const batches = ranked(cases, (entry) => (entry.kind === 'step' ? entry.batch : null));
  return cases.map((entry) => {
    if (entry.kind === 'ttft') return partOf((lengths.get(lengthOf(entry)) ?? 0) % 2 === 0);
    if (entry.kind === 'step') return partOf((batches.get(entry.batch) ?? 0) % 2 === 0);
    return partOf(entry.kind === 'round' && entry.engine === 'baseline' && entry.workload !== 'longdoc-query');
  });
}

function partOf(isTraining: boolean): Part {
  return isTraining ? 'training' : 'validation';
}

/**
 * In hundreds of tokens, as prompts of one length differ by some. The first repetition tells: so were the cases parted that
 * the shipped profiles are fitted to.
 */
function lengthOf({ repetitions }: TtftCase): number {
  return Math.round((repetitions[0]?.promptTokens ?? 0) / 100);
}

function ranked(
  cases: readonly RecordedCase[],
  sizeOf: (entry: RecordedCase) => number | null,
): ReadonlyMap<number, number> {
  const sizes = new Set(cases.flatMap((entry) => sizeOf(entry) ?? []));
  return new Map([...sizes].toSorted((left, right) => right - left).map((size, rank) => [size, rank]));
}

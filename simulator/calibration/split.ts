import type { RecordedCase, TtftCase } from './cases.js';

/** Whether constants may be fitted on a case, or only held against it. */
export type Part = 'training' | 'validation';

export interface SplitCase {
  readonly entry: RecordedCase;
  readonly part: Part;
}

/**
 * Which cases constants are fitted on: every other prompt length and every other batch size, down from the
 * largest; the long-document warm-up and the bench of the engine without LMCache (for what no quiet engine shows).
 * All else is validation: the lengths and batches between, every round of the engine with LMCache and every round of
 * queries, and prompts that come at given times.
 */
export function split(cases: readonly RecordedCase[]): readonly SplitCase[] {
  const lengths = ranked(cases, (entry) => (entry.kind === 'ttft' ? lengthOf(entry) : null));
  const batches = ranked(cases, (entry) => (entry.kind === 'step' ? entry.batch : null));
  const isTraining = (entry: RecordedCase): boolean => {
    if (entry.kind === 'ttft') return (lengths.get(lengthOf(entry)) ?? 0) % 2 === 0;
    if (entry.kind === 'step') return (batches.get(entry.batch) ?? 0) % 2 === 0;
    return entry.kind === 'round' && entry.engine === 'baseline' && entry.workload !== 'longdoc-query';
  };
  return cases.map((entry) => ({ entry, part: isTraining(entry) ? 'training' : 'validation' }));
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

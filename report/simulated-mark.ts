import type { RunRecord, Simulated } from '../results-schema/run-record.js';

/** The sentence that every report of a simulated run starts with; null for a run on real hardware. */
export function simulatedMark(run: Pick<RunRecord, 'engine' | 'simulated'>): string | null {
  return run.engine === 'sim' || run.simulated !== null ? simulatedSentence(run.simulated) : null;
}

/** @param by null: it has not said how */
export function simulatedSentence(by: Simulated | null): string {
  const how = by === null ? '' : ` (profile "${by.profile}", speed x${by.speed})`;
  return `SIMULATED${how}: no GPU was used; times are modelled and say nothing about real hardware`;
}

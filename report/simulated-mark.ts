import type { RunRecord } from '../results-schema/run-record.js';

/** The sentence that every report of a simulated run starts with; null for a run on real hardware. */
export function simulatedMark(run: Pick<RunRecord, 'engine' | 'simulated'>): string | null {
  if (run.engine !== 'sim' && run.simulated === null) return null;
  const how = run.simulated === null ? '' : ` (profile "${run.simulated.profile}", speed x${run.simulated.speed})`;
  return `SIMULATED${how}: no GPU was used; times are modelled and say nothing about real hardware`;
}

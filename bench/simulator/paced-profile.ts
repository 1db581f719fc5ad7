import { writeFileSync } from 'node:fs';
import { withConstants } from '../../simulator/calibration/constants.js';
import { profileFile, profileOf } from '../../simulator/profiles.js';

/**
 * Writes a profile under which `batch` decoding sequences take exactly `stepMs` a step, whatever their contexts: what a
 * client sees can then be held against a schedule that it knows.
 */
export function writePacedProfile(path: string, modelName: string, batch: number, stepMs: number): void {
  const base = profileFile('h200');
  const flat = withConstants(
    base,
    new Map([
      ['step.kvReadEfficiency', 1e9],
      ['step.kvReadHalfBatch', 0],
      ['step.requestSeconds', 1e-6],
      ['step.stepSeconds', 0],
    ]),
    'a benchmark',
  );
  const decodes = Array.from({ length: batch }, () => ({ contextTokens: 32 }));
  const stepTime = profileOf(flat).stepTime(modelName, { connector: false });
  const rest = stepMs / 1000 - stepTime.stepSeconds({ prefills: [], decodes });
  if (rest < 0) throw new Error(`a step of ${batch} sequences takes longer than ${stepMs} ms on this profile`);
  const paced = withConstants(flat, new Map([['step.stepSeconds', rest]]), 'a benchmark');
  writeFileSync(path, JSON.stringify({ ...paced, name: 'paced' }));
}

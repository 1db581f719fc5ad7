import type { ProfileFile } from '../profile-schema.js';
import { profileOf } from '../profiles.js';
import { type Comparison, compare } from './compare.js';
import type { FreeConstant } from './constants.js';
import { fitProfile } from './fit.js';
import { leftOut, type Recording } from './recording.js';

/** A recording beside what a profile says of it. */
export interface ComparedRecording {
  readonly recording: Recording;
  readonly comparisons: readonly Comparison[];
}

/** Leaves out one recording after the other: what a profile that was fitted to the others says of it. Each fit begins at the constants of `file`. */
export async function crossValidate(
  file: ProfileFile,
  recordings: readonly Recording[],
  constants: readonly FreeConstant[],
): Promise<readonly ComparedRecording[]> {
  const results: ComparedRecording[] = [];
  for (const recording of recordings) {
    const others = recordings.filter((other) => other !== recording);
    const fitted = profileOf(await fitProfile(file, others, constants, 'cross-validation'));
    results.push({
      recording,
      comparisons: await compare(recording.predictedBy(fitted), leftOut(recording).cases),
    });
  }
  return results;
}

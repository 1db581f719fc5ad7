import { type Comparison, compare } from '../simulator/calibration/compare.js';
import { openRecordings } from '../simulator/calibration/recording.js';
import { loadProfile } from '../simulator/profiles.js';
import { assetPath } from '../steps/package-root.js';

/** Folders of test/fixtures/recordings, by the profile that is held against them. */
const PROFILES = {
  h200: 'h200',
  'h200-batch-invariant': 'h200-batch-invariant',
  'h200-l2-mock': 'h200',
  'h200-blind/qwen3-14b': 'h200',
  'h200-blind/qwen3-8b': 'h200',
} as const;

export type RecordingSet = keyof typeof PROFILES;
/** Every recorded case of a set beside the prediction of its profile. */
export async function comparisonsOf(set: RecordingSet): Promise<readonly Comparison[]> {
  const profile = loadProfile(PROFILES[set]);
  const folder = assetPath('test', 'fixtures', 'recordings', ...set.split('/'));
  const [recording] = openRecordings([folder], { profile });
  return recording === undefined ? [] : compare(recording.predictedBy(profile), recording.cases, recording.parts);
}

/** Of all sets. */
export async function allComparisons(): Promise<Readonly<Record<RecordingSet, readonly Comparison[]>>> {
  return {
    h200: await comparisonsOf('h200'),
    'h200-batch-invariant': await comparisonsOf('h200-batch-invariant'),
    'h200-l2-mock': await comparisonsOf('h200-l2-mock'),
    'h200-blind/qwen3-14b': await comparisonsOf('h200-blind/qwen3-14b'),
    'h200-blind/qwen3-8b': await comparisonsOf('h200-blind/qwen3-8b'),
  };
}

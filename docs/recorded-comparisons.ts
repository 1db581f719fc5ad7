import { type Comparison, compare } from '../simulator/calibration/compare.js';
import { openRecordings } from '../simulator/calibration/recording.js';
import { loadProfile } from '../simulator/profiles.js';
import { assetPath } from '../steps/package-root.js';

type ProfileName = 'h200' | 'h200-batch-invariant';

/** Series of the plot, each in a colour of its own. */
export type Series =
  | 'first machine'
  | 'third machine'
  | 'fourth machine'
  | 'batch-invariant'
  | 'mock L2'
  | 'fifth: blind';

/** A folder of test/fixtures/recordings, and what it was for the profile that is held against it. */
export interface RecordingSet {
  readonly folder: string;
  readonly title: string;
  readonly profile: ProfileName;
  readonly series: Series;
  /** Recorded after all constants were fixed; of the others every other case was fitted on, and all were in sight. */
  readonly blind: boolean;
}

const set = (folder: string, title: string, profile: ProfileName, series: Series): RecordingSet => ({
  folder,
  title,
  profile,
  series,
  blind: series === 'fifth: blind',
});

export const RECORDING_SETS: readonly RecordingSet[] = [
  set('h200', 'default kernels', 'h200', 'first machine'),
  set('h200-l2-mock', 'default kernels, mock L2', 'h200', 'mock L2'),
  set('h200-blind/qwen3-14b', 'third machine, Qwen3-14B', 'h200', 'third machine'),
  set('h200-blind/qwen3-8b', 'third machine, Qwen3-8B', 'h200', 'third machine'),
  set('h200-fourth/qwen3-14b', 'fourth machine, Qwen3-14B', 'h200', 'fourth machine'),
  set('h200-fourth/qwen3-14b-baseline', 'fourth machine, Qwen3-14B without LMCache', 'h200', 'fourth machine'),
  set('h200-fourth/llama-3.1-8b', 'fourth machine, Llama-3.1-8B', 'h200', 'fourth machine'),
  set('h200-fourth/llama-3.1-8b-again', 'fourth machine, Llama-3.1-8B, small L1', 'h200', 'fourth machine'),
  set('h200-fourth/qwen3-4b', 'fourth machine, Qwen3-4B', 'h200', 'fourth machine'),
  set('h200-fifth/qwen3-14b', 'fifth machine, Qwen3-14B', 'h200', 'fifth: blind'),
  set('h200-fifth/qwen3-8b', 'fifth machine, Qwen3-8B', 'h200', 'fifth: blind'),
  set('h200-fifth/qwen3-32b', 'fifth machine, Qwen3-32B', 'h200', 'fifth: blind'),
  set('h200-batch-invariant', 'batch-invariant kernels', 'h200-batch-invariant', 'batch-invariant'),
  set(
    'h200-fourth-batch-invariant/qwen3-14b',
    'batch-invariant, fourth machine, Qwen3-14B',
    'h200-batch-invariant',
    'batch-invariant',
  ),
  set(
    'h200-fourth-batch-invariant/qwen3-8b',
    'batch-invariant, fourth machine, Qwen3-8B',
    'h200-batch-invariant',
    'batch-invariant',
  ),
  set(
    'h200-fifth-batch-invariant/qwen3-8b',
    'batch-invariant, fifth machine, Qwen3-8B',
    'h200-batch-invariant',
    'fifth: blind',
  ),
];

/** A set of recordings with its comparisons. */
export interface ComparedSet extends RecordingSet {
  readonly comparisons: readonly Comparison[];
}

/** Every recorded case of a folder of test/fixtures/recordings beside the prediction of its profile. */
export async function comparisonsOf(folder: string): Promise<readonly Comparison[]> {
  const known = RECORDING_SETS.find((entry) => entry.folder === folder);
  if (known === undefined) throw new Error(`no set of recordings is "${folder}"`);
  const profile = loadProfile(known.profile);
  const [recording] = openRecordings([assetPath('test', 'fixtures', 'recordings', ...folder.split('/'))], { profile });
  return recording === undefined ? [] : compare(recording.predictedBy(profile), recording.cases);
}

/** Of all sets. */
export async function allComparisons(): Promise<readonly ComparedSet[]> {
  const all: ComparedSet[] = [];
  for (const entry of RECORDING_SETS) all.push({ ...entry, comparisons: await comparisonsOf(entry.folder) });
  return all;
}

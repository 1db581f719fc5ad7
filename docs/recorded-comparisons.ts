import { readdirSync } from 'node:fs';
import path from 'node:path';
import { type Comparison, compare } from '../simulator/calibration/compare.js';
import { readRecording } from '../simulator/calibration/recordings.js';
import { parseL2Adapter } from '../simulator/lmcache/l2-adapter.js';
import { loadProfile } from '../simulator/profiles.js';
import { assetPath } from '../steps/package-root.js';

/** The recordings' second level: a mock adapter of 4 GiB a second. */
const RECORDED_L2 = '{"type":"mock","max_size_gb":80,"mock_bandwidth_gb":4}';

/** A folder of test/fixtures/recordings. */
export type RecordingSet = 'h200' | 'h200-batch-invariant' | 'h200-l2-mock';

/** Every recorded case of a set beside the prediction of its profile. */
export function comparisonsOf(set: RecordingSet): Promise<readonly Comparison[]> {
  const folder = assetPath('test', 'fixtures', 'recordings', set);
  const cases = readdirSync(folder).flatMap((name) => [...readRecording(path.join(folder, name))]);
  const profile = loadProfile(set === 'h200-l2-mock' ? 'h200' : set);
  const l2 = set === 'h200-l2-mock' ? { l2: () => [parseL2Adapter(RECORDED_L2)] } : {};
  return compare({ profile, model: profile.model('Qwen/Qwen3-14B'), ...l2 }, cases);
}

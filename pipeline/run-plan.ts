import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CiEnvironment } from '../ci/ci-environment.js';
import { findFreePorts } from '../engines/free-ports.js';
import type { RunFacts } from '../steps/step.js';
import type { SettingValue } from './config/parse-value.js';
import { autoPort } from './config/parse-value.js';
import type { ResolvedSetting } from './config/resolve-settings.js';

/** The checkout, or the installed package: where package.json is. */
export const workspace = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));

/** All that is decided before anything starts. */
export interface RunPlan {
  readonly facts: RunFacts;
  readonly resultsDir: string;
  /** As resolved, with the run's own choices (build id, free ports, paths) filled in. */
  readonly settings: readonly ResolvedSetting[];
  readonly ci: CiEnvironment;
  /** Why the simulator runs where nobody asked for it; null otherwise. */
  readonly simulatedBecause: string | null;
  readonly startedAt: Date;
}

/** The values by name, as steps get them. */
export function settingValues(settings: readonly ResolvedSetting[]): Readonly<Record<string, SettingValue | null>> {
  return Object.fromEntries(settings.map(({ name, value }) => [name, value]));
}

/** Fills in what the run decides itself: BUILD_ID, directories, `auto` ports. */
export async function completeSettings(
  settings: readonly ResolvedSetting[],
  startedAt: Date,
): Promise<readonly ResolvedSetting[]> {
  const given = settingValues(settings);
  const buildId = typeof given['BUILD_ID'] === 'string' ? given['BUILD_ID'] : `local_${timestamp(startedAt)}`;
  const computed: Record<string, SettingValue> = {
    BUILD_ID: buildId,
    RESULTS_DIR: `/tmp/lmcache_ci_results_${buildId}`,
    VENV_DIR: path.join(workspace, '.venv'),
    HF_HOME: path.join(homedir(), '.cache', 'huggingface'),
  };
  const wantsFreePort = ({ definition, value }: ResolvedSetting) => definition.type === 'port' && value === autoPort;
  const autoPorts = settings.filter(wantsFreePort);
  const freePorts = await findFreePorts(autoPorts.length);
  return settings.map((setting): ResolvedSetting => {
    if (wantsFreePort(setting))
      return { ...setting, value: freePorts[autoPorts.indexOf(setting)] ?? null, requested: autoPort };
    const value = computed[setting.name];
    return setting.value === null && value !== undefined ? { ...setting, value } : setting;
  });
}

/** `20261122_023037_481`: local time, to the millisecond, so that two runs in one second differ. */
function timestamp(at: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${at.getFullYear()}${two(at.getMonth() + 1)}${two(at.getDate())}`;
  return `${day}_${two(at.getHours())}${two(at.getMinutes())}${two(at.getSeconds())}_${String(at.getMilliseconds()).padStart(3, '0')}`;
}

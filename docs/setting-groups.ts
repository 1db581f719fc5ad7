import { orchestratorSettings } from '../pipeline/config/definitions.js';
import { commonSettings } from '../steps/common-settings.js';
import { stepList } from '../steps/list.js';
import type { SettingGroup } from './settings-table.js';

/** All settings there are: the common ones, then each step's own in the order of the pipeline. */
export async function settingGroups(): Promise<readonly SettingGroup[]> {
  const steps = await Promise.all(stepList.map(async ({ load, script }) => ({ ...(await load()).step, script })));
  return [
    { title: 'Common', settings: { ...commonSettings, ...orchestratorSettings } },
    ...steps.map(({ name, script, settings }) => ({ title: `${name} (\`steps/${script}.mjs\`)`, settings })),
  ];
}

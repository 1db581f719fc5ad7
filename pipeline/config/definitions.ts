import { isDeepStrictEqual } from 'node:util';
import { commonSettings } from '../../steps/common-settings.js';
import { defineSettings, type SettingDefinitions } from '../../steps/settings.js';
import type { Step } from '../../steps/step.js';

/** Settings of the orchestrator itself. */
export const orchestratorSettings = defineSettings({
  STRICT_ENV: {
    type: 'flag',
    default: false,
    description: 'End with exit code 2 when an environment variable is nearly one of these settings.',
  },
});

/** Every setting these steps read, common ones first. @throws when two steps define one name differently. */
export function collectDefinitions(steps: readonly Step[]): SettingDefinitions {
  const definitions: Record<string, SettingDefinitions[string]> = { ...commonSettings, ...orchestratorSettings };
  for (const step of steps) {
    for (const [name, definition] of Object.entries(step.settings)) {
      const known = definitions[name];
      if (known && !isDeepStrictEqual(known, definition)) {
        throw new Error(`Step "${step.name}" defines the setting ${name} differently from another step.`);
      }
      definitions[name] = definition;
    }
  }
  return definitions;
}

/** `MAX_LMCACHE_TTFT` is `--max-lmcache-ttft` on the command line. */
export function flagName(setting: string): string {
  return setting.toLowerCase().replaceAll('_', '-');
}

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
  SETUP_TIMEOUT_SECONDS: {
    type: 'integer',
    default: 14_400,
    min: 1,
    unit: 's',
    description: 'Time limit of each step before the tests; the building of an image can take an hour.',
  },
  TEST_TIMEOUT_SECONDS: {
    type: 'integer',
    default: 7200,
    min: 1,
    unit: 's',
    description: 'Time limit of each test; a test that exceeds it says what it was waiting for.',
  },
  CLEANUP_TIMEOUT_SECONDS: {
    type: 'integer',
    default: 300,
    min: 1,
    unit: 's',
    description: 'Time limit of the cleaning up, GPU memory that the driver gives back late included.',
  },
  RETRY_INFRASTRUCTURE: {
    type: 'integer',
    default: null,
    defaultText: '`1` on CI, else `0`',
    min: 0,
    max: 5,
    description:
      'How often a step that failed by infrastructure is tried again; each try is kept in run.json. Never what the code under test did.',
  },
  DETACHED_TTL: {
    type: 'text',
    default: '12h',
    pattern: /^\d{1,4}(\.\d+)?[smhd]$/,
    patternText: 'a time such as 30m, 12h or 2d',
    description: 'How long engines that were left up (launch-containers alone, --keep) live before they are removed.',
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

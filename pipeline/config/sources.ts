import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'dotenv';
import { secrets } from '../../results-schema/secrets.js';
import type { SettingDefinitions } from '../../steps/settings.js';
import { UsageError } from '../usage-error.js';
import { flagName } from './definitions.js';
import type { SettingSources } from './resolve-settings.js';

/** Flags by setting name, out of what yargs parsed. */
export function flagValues(
  definitions: SettingDefinitions,
  parsed: Readonly<Record<string, unknown>>,
): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [name, definition] of Object.entries(definitions)) {
    for (const spelling of [name, ...(definition.aliases ?? [])]) {
      const given = parsed[flagName(spelling)];
      const last: unknown = Array.isArray(given) ? given.at(-1) : given;
      if (last !== undefined) values[spelling] = String(last);
    }
  }
  return values;
}

/** `.env` of a directory, empty when there is none. @throws UsageError when it exists and cannot be read. */
export function readDotenv(directory: string): Record<string, string> {
  try {
    return parse(readFileSync(path.join(directory, '.env')));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw new UsageError(`${path.join(directory, '.env')} cannot be read: ${error}. Nothing was started.`);
  }
}

/** Flag, environment and `.env`; the weaker origins are added by the caller. */
export function gatherSources(
  definitions: SettingDefinitions,
  parsed: Readonly<Record<string, unknown>>,
  weaker: Pick<SettingSources, 'joined run' | 'ci'>,
): SettingSources {
  const dotenv = readDotenv(process.cwd());
  secrets.learnEnvironment(dotenv);
  return {
    flag: flagValues(definitions, parsed),
    environment: process.env,
    '.env': dotenv,
    ...weaker,
  };
}

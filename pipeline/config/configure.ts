import { secrets } from '../../results-schema/secrets.js';
import type { SettingDefinitions } from '../../steps/settings.js';
import { UsageError } from '../usage-error.js';
import { engineVariableDefinitions } from './engine-variables.js';
import {
  type ResolvedSetting,
  type ResolvedSettings,
  resolveSettings,
  type SettingProblem,
  type SettingSources,
} from './resolve-settings.js';
import { gatherSources } from './sources.js';

export interface Configuration {
  readonly settings: readonly ResolvedSetting[];
  /** Variables that are nearly a setting; STRICT_ENV=1 makes them errors. */
  readonly nearMisses: readonly SettingProblem[];
}

/**
 * Settings from flags, environment, `.env` and the weaker origins.
 * @throws UsageError with every bad value at once.
 */
export function configure(
  definitions: SettingDefinitions,
  parsed: Readonly<Record<string, unknown>>,
  weaker: Pick<SettingSources, 'joined run' | 'ci'>,
): Configuration {
  const sources = gatherSources(definitions, parsed, weaker);
  const engineVariables = engineVariableDefinitions(sources);
  const resolved = resolveSettings({ ...definitions, ...engineVariables.definitions }, sources);
  const strict = isStrict(resolved);
  const problems = [...engineVariables.errors, ...resolved.errors, ...(strict ? resolved.nearMisses : [])];
  if (problems.length > 0) {
    const count = problems.length === 1 ? 'A setting cannot be used' : `${problems.length} settings cannot be used`;
    const lines = [...problems.map(({ message }) => message), ...(strict ? [] : resolved.nearMisses.map(warningOf))];
    throw new UsageError(`${count}. Nothing was started.\n${lines.map((line) => `  ${line}`).join('\n')}`);
  }
  return resolved;
}

/** For commands without a run, whose reporter would tell them. */
export function warnOfNearMisses({ nearMisses }: Pick<Configuration, 'nearMisses'>): void {
  for (const problem of nearMisses) process.stderr.write(`${secrets.hide(warningOf(problem))}\n`);
}

/** What keeps a run from starting tells them too: there will be no reporter. */
export async function tellingNearMisses<Prepared>(
  configuration: Pick<Configuration, 'nearMisses'>,
  prepare: () => Promise<Prepared>,
): Promise<Prepared> {
  try {
    return await prepare();
  } catch (error) {
    warnOfNearMisses(configuration);
    throw error;
  }
}

const warningOf = ({ message }: SettingProblem) => `warning: ${message}`;

function isStrict({ settings }: ResolvedSettings): boolean {
  return settings.some(({ name, value }) => name === 'STRICT_ENV' && value === true);
}

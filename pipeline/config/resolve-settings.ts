import type { SettingDefinition, SettingDefinitions } from '../../steps/settings.js';
import { flagName } from './definitions.js';
import { allowedText, type SettingValue, valueSchema } from './parse-value.js';
import { didYouMean } from './suggest.js';

/** Where values come from, strongest first; a setting remembers which one it took. */
export const originOrder = ['flag', 'environment', '.env', 'joined run', 'ci'] as const;
export type SettingOrigin = (typeof originOrder)[number] | 'default';

/** Raw texts by setting name (or alias), by origin. */
export type SettingSources = Readonly<
  Partial<Record<(typeof originOrder)[number], Readonly<Record<string, string | undefined>>>>
>;

export interface ResolvedSetting {
  readonly name: string;
  /** null: unset, and no default. */
  readonly value: SettingValue | null;
  readonly origin: SettingOrigin;
  /** Where exactly: `--vllm-port`, `CPU_BUFFER_SIZE`, `BUILDKITE_BUILD_ID`; null for a default. */
  readonly source: string | null;
  /** What was asked for where the run chose the value itself: `auto`. */
  readonly requested?: string;
  readonly definition: SettingDefinition;
}

export interface SettingProblem {
  readonly name: string;
  readonly message: string;
}

export interface ResolvedSettings {
  readonly settings: readonly ResolvedSetting[];
  readonly errors: readonly SettingProblem[];
  /** Variables that are nearly a setting. */
  readonly nearMisses: readonly SettingProblem[];
}

/** Precedence: flag, environment, .env, (joined run, CI), default. All bad values at once. An empty text is unset. */
export function resolveSettings(definitions: SettingDefinitions, sources: SettingSources): ResolvedSettings {
  const errors: SettingProblem[] = [];
  const settings = Object.entries(definitions).map(([name, definition]): ResolvedSetting => {
    const given = findGiven(name, definition, sources);
    if (!given) return { name, value: definition.default, origin: 'default', source: null, definition };
    const shown = given.origin === 'flag' ? `--${flagName(given.name)}` : given.name;
    const parsed = valueSchema(definition).safeParse(given.text);
    if (parsed.success) return { name, value: parsed.data, origin: given.origin, source: shown, definition };
    const from =
      given.origin === 'flag'
        ? 'on the command line'
        : given.origin === '.env'
          ? 'in .env'
          : `from the ${given.origin}`;
    errors.push({
      name,
      message: `${shown}=${JSON.stringify(given.text)} (${from}): expected ${allowedText(definition)}`,
    });
    return { name, value: definition.default, origin: 'default', source: null, definition };
  });
  return { settings, errors, nearMisses: findNearMisses(definitions, sources) };
}

function findGiven(name: string, definition: SettingDefinition, sources: SettingSources) {
  for (const origin of originOrder) {
    for (const spelling of [name, ...(definition.aliases ?? [])]) {
      const text = sources[origin]?.[spelling];
      if (text !== undefined && (text !== '' || origin === 'flag')) return { name: spelling, text, origin };
    }
  }
  return null;
}

function findNearMisses(definitions: SettingDefinitions, sources: SettingSources): SettingProblem[] {
  const known = new Set(
    Object.entries(definitions).flatMap(([name, definition]) => [name, ...(definition.aliases ?? [])]),
  );
  const problems: SettingProblem[] = [];
  for (const origin of ['environment', '.env'] as const) {
    for (const name of Object.keys(sources[origin] ?? {})) {
      // Names of one word (MODE, LIMITS) belong to others too often to be worth a warning.
      if (known.has(name) || !/^[A-Z][A-Z0-9]*_[A-Z0-9_]*$/.test(name)) continue;
      const meant = didYouMean(name, known);
      if (meant)
        problems.push({
          name,
          message: `${name} (${origin}) is not a setting and has no effect; did you mean ${meant}?`,
        });
    }
  }
  return problems;
}

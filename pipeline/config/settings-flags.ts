import type { Argv } from 'yargs';
import { stepList } from '../../steps/list.js';
import type { SettingDefinition, SettingDefinitions } from '../../steps/settings.js';
import type { Step } from '../../steps/step.js';
import { collectDefinitions, flagName } from './definitions.js';
import { allowedText } from './parse-value.js';

/** Loads every step of the list, or those named. */
export async function loadSteps(names?: readonly string[]): Promise<readonly Step[]> {
  const wanted = names ? stepList.filter((entry) => names.includes(entry.name)) : stepList;
  return Promise.all(wanted.map(async (entry) => (await entry.load()).step));
}

/** One flag a setting, in groups by who reads it. Values stay texts: they are parsed with those of the environment. */
export function addSettingFlags(parser: Argv, steps: readonly Step[]): Argv {
  const definitions = collectDefinitions(steps);
  const grouped = new Set<string>();
  for (const step of steps) {
    for (const name of Object.keys(step.settings)) {
      if (grouped.has(name)) continue;
      grouped.add(name);
      addFlag(parser, name, definitions, `Settings of ${step.name}:`);
    }
  }
  for (const name of Object.keys(definitions))
    if (!grouped.has(name)) addFlag(parser, name, definitions, 'Settings of every step:');
  return parser;
}

function addFlag(parser: Argv, name: string, definitions: SettingDefinitions, group: string): void {
  const definition = definitions[name];
  if (!definition) return;
  parser.option(flagName(name), {
    type: 'string',
    requiresArg: true,
    group,
    describe: `${definition.description} [${name}; ${defaultText(definition)}]`,
    alias: (definition.aliases ?? []).map(flagName),
    ...(definition.type === 'choice' ? {} : { defaultDescription: '' }),
  });
}

/** `default: 0.22 s`, `unset`, or what may be chosen. */
export function defaultText(definition: SettingDefinition): string {
  const unit = definition.unit ? ` ${definition.unit}` : '';
  const choices = definition.type === 'choice' ? `${allowedText(definition)}; ` : '';
  // Written for a Markdown table.
  if (definition.defaultText) return `${choices}default: ${definition.defaultText.replaceAll('`', '')}`;
  if (definition.default === null) return `${choices}unset`;
  const value = definition.type === 'flag' ? Number(definition.default) : definition.default;
  return `${choices}default: ${value}${unit}`;
}

import { engineVariableProblem, isEngineVariable } from '../../engines/engine-variables.js';
import type { SettingDefinitions, TextSetting } from '../../steps/settings.js';
import type { SettingProblem, SettingSources } from './resolve-settings.js';

const definition: TextSetting = { type: 'text', default: null, description: 'Variable of an engine.' };

/**
 * `VLLM_ENV_NAME` and `LMCACHE_ENV_NAME` of the environment and of `.env`: settings whose names only their user knows. They
 * are recorded like all others, so that a run tells what its engines were given.
 */
export function engineVariableDefinitions(sources: SettingSources): {
  readonly definitions: SettingDefinitions;
  readonly errors: readonly SettingProblem[];
} {
  const given = Object.entries({ ...sources['.env'], ...sources.environment });
  const names = given.flatMap(([name, text]) => (isEngineVariable(name) && text ? [name] : [])).sort();
  const problems = names.map((name) => ({ name, problem: engineVariableProblem(name) }));
  return {
    definitions: Object.fromEntries(names.map((name) => [name, definition])),
    errors: problems.flatMap(({ name, problem }) => {
      if (problem === null) return [];
      const origin = sources.environment?.[name] ? 'from the environment' : 'in .env';
      return [
        {
          name,
          message: `${name}=${JSON.stringify(given.find(([key]) => key === name)?.[1])} (${origin}): ${problem}`,
        },
      ];
    }),
  };
}

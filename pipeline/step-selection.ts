import { type StepEntry, stepList } from '../steps/list.js';
import type { Step } from '../steps/step.js';
import { didYouMean } from './config/suggest.js';
import { UsageError } from './usage-error.js';

/** Steps that begin a run instead of joining one: there is nothing left for them to do where its engines are up. */
export const startsRun: ReadonlySet<string> = new Set(['build-image', 'launch-containers']);

/** Names from `--only a,b --only c`. @throws UsageError for a name that is no step, with what was probably meant. */
export function parseStepNames(
  flag: string,
  given: readonly string[],
  entries: readonly StepEntry[] = stepList,
): readonly string[] {
  const known = entries.flatMap(({ name, script }) => [name, script]);
  return given
    .flatMap((text) => text.split(','))
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map((text) => {
      const entry = entries.find(({ name, script }) => name === text || script === text);
      if (entry) return entry.name;
      const meant = didYouMean(text, known);
      throw new UsageError(
        `${flag}=${JSON.stringify(text)}: there is no such step${meant ? `, did you mean ${meant}?` : '.'} Steps: ${entries.map(({ name }) => name).join(', ')}.`,
      );
    });
}

/**
 * The steps of a run. `only` names what the person wants: a test brings the set-up it stands on along, a set-up step
 * those before it. `skip` leaves steps out, whatever needs them. Cleanup always belongs to a run (`--keep` is the way around it).
 */
export function selectSteps(steps: readonly Step[], only: readonly string[], skip: readonly string[]): readonly Step[] {
  const wanted = only.length === 0 ? steps : steps.filter((step, index) => isWanted(steps, index, step, only));
  const selected = wanted.filter((step) => step.kind === 'cleanup' || !skip.includes(step.name));
  if (skip.some((name) => steps.find((step) => step.name === name)?.kind === 'cleanup')) {
    throw new UsageError(
      '--skip=cleanup: a run always cleans up; --keep leaves its engines up and says how to remove them.',
    );
  }
  if (selected.every(({ kind }) => kind === 'cleanup')) throw new UsageError('--only and --skip leave no step to run.');
  return selected;
}

function isWanted(steps: readonly Step[], index: number, step: Step, only: readonly string[]): boolean {
  if (only.includes(step.name) || step.kind === 'cleanup') return true;
  return (
    step.kind === 'setup' && steps.slice(index).some((later) => only.includes(later.name) && later.kind !== 'cleanup')
  );
}

import { defineStep } from './step.js';

/**
 * Stops and removes everything the run has started. What could not be removed is a warning: it never hides
 * what the run is about.
 */
export const step = defineStep({
  name: 'cleanup',
  title: 'Clean up',
  kind: 'cleanup',
  settings: {},
  async run({ fleet, run, progress, emit }) {
    progress.update({ task: 'stopping engines' });
    const { removed, forced, problems } = await fleet.release();
    emit({ type: 'cleanup', removed: [...removed], forced: [...forced], problems: [...problems] });
    for (const name of forced) progress.warn(`${name} did not end by SIGTERM and was killed`);
    for (const problem of problems) progress.warn(`left behind: ${problem}`);
    if (run.runtime === 'external') return { outcome: 'skipped', why: 'the servers are not ours (RUNTIME=external)' };
    const message = removed.length === 0 ? 'nothing was left to remove' : `removed ${removed.join(', ')}`;
    return { outcome: 'passed', verdicts: [], message };
  },
});

import { BuildIdTakenError } from '../engines/errors.js';
import { findWriter } from '../engines/open-files.js';
import { describeRun, joinLiveRun } from '../engines/registry.js';
import { waitUntil } from '../engines/wait-until.js';
import { isDiskFull } from '../results-schema/disk-full.js';
import type { ResultsDirectory } from '../results-schema/results-directory.js';
import { ResultsDirectoryError } from '../results-schema/results-directory-checks.js';
import { createResultsDirectory } from '../results-schema/results-directory-fs.js';
import type { RunPlan } from './run-plan.js';
import { NoVerdictError, UsageError } from './usage-error.js';

/** The results directory of a new run; a finished run of the same id is renamed. @throws UsageError when it cannot be used. */
export async function openNewResults(plan: RunPlan): Promise<ResultsDirectory> {
  const { buildId, runtime } = plan.facts;
  const live = runtime === 'external' ? null : joinLiveRun({ buildId });
  if (live && live.resultsDir !== plan.resultsDir) {
    throw new UsageError(`${new BuildIdTakenError(buildId, describeRun(live)).message}. Nothing was started.`);
  }
  try {
    return await createResultsDirectory(plan.resultsDir, {
      buildId,
      isLive: async (id) => joinLiveRun({ buildId: id }) !== null || (await isWrittenTo(plan.resultsDir)),
    });
  } catch (error) {
    if (error instanceof ResultsDirectoryError) throw resultsRefusal(error);
    throw error;
  }
}

/** Nothing was started: for want of room, or by a setting that has to change. */
export function resultsRefusal(error: ResultsDirectoryError): UsageError {
  const message = `${error.message}. Nothing was started.`;
  return isDiskFull(error.cause) ? new NoVerdictError(message) : new UsageError(message);
}

/** A keeper ends a moment after its run. */
const lastWriterMs = 2000;

/** Another registry (XDG_RUNTIME_DIR) of this machine may have a run of this id: its files must not be moved away under it. */
async function isWrittenTo(resultsDir: string): Promise<boolean> {
  return !(await waitUntil(() => findWriter(resultsDir) === null, lastWriterMs));
}

import type { CiProvider } from '../ci/ci-environment.js';
import { BuildIdTakenError } from '../engines/errors.js';
import { findWriter } from '../engines/open-files.js';
import { describeRun, joinLiveRun } from '../engines/registry.js';
import { waitUntil } from '../engines/wait-until.js';
import { isDiskFull } from '../results-schema/disk-full.js';
import { readRun } from '../results-schema/read-run.js';
import type { ResultsDirectory } from '../results-schema/results-directory.js';
import { ResultsDirectoryError } from '../results-schema/results-directory-checks.js';
import { createResultsDirectory, openResultsDirectory } from '../results-schema/results-directory-fs.js';
import type { RunPlan } from './run-plan.js';
import { NoVerdictError, UsageError } from './usage-error.js';

/**
 * The results directory of a new run; a finished run that is there is renamed, and that is said.
 * @param options.goesOnAfterBuild step build-image alone is the beginning of this run, not a run to be set aside
 * @throws UsageError when it cannot be used.
 */
export async function openNewResults(
  plan: RunPlan,
  options: { readonly goesOnAfterBuild?: boolean } = {},
): Promise<ResultsDirectory> {
  const { buildId, runtime } = plan.facts;
  const live = runtime === 'external' ? null : joinLiveRun({ buildId });
  if (live && live.resultsDir !== plan.resultsDir) {
    const { message } = new BuildIdTakenError(buildId, describeRun(live));
    throw new UsageError(`${message}. Nothing was started.${adviceToSteps(plan)}`);
  }
  try {
    if (options.goesOnAfterBuild && (await holdsBuildOnly(plan.resultsDir)))
      return await openResultsDirectory(plan.resultsDir);
    const results = await createResultsDirectory(plan.resultsDir, {
      buildId,
      isLive: async (id) => joinLiveRun({ buildId: id }) !== null || (await isWrittenTo(plan.resultsDir)),
    });
    if (results.archivedTo !== null)
      process.stdout.write(`The results that were in "${results.root}" are now in "${results.archivedTo}".\n`);
    return results;
  } catch (error) {
    if (!(error instanceof ResultsDirectoryError)) throw error;
    throw resultsRefusal(error, error.problem === 'live-run' ? adviceToSteps(plan) : '');
  }
}

async function holdsBuildOnly(resultsDir: string): Promise<boolean> {
  const { record, events } = await readRun(resultsDir);
  const begun = events.flatMap((event) => (event.type === 'run-started' ? (event.steps ?? ['unknown']) : []));
  const isBuild = record?.verdict?.outcome === 'passed' && begun.every((name) => name === 'build-image');
  // Of two launches at once the second one must not join in.
  return isBuild && !(await isWrittenTo(resultsDir));
}

/** By it the steps of one CI build tell their runs apart, as a shell writes it. */
const idsOfSteps: Readonly<Record<CiProvider, string | null>> = {
  buildkite: '"$BUILDKITE_BUILD_ID-$BUILDKITE_STEP_KEY"',
  'github-actions': '"$GITHUB_RUN_ID-$GITHUB_JOB"',
  none: null,
};

/** The id of a CI build is the same in all of its steps, of which two may share a host. */
function adviceToSteps({ ci, settings }: Pick<RunPlan, 'ci' | 'settings'>): string {
  const isOfCi = settings.some(({ name, origin }) => name === 'BUILD_ID' && origin === 'ci');
  const id = idsOfSteps[ci.provider];
  return isOfCi && id !== null ? ` Steps of one build that share a host need ids of their own: BUILD_ID=${id}.` : '';
}

/** Nothing was started: for want of room, or by a setting that has to change. */
export function resultsRefusal(error: ResultsDirectoryError, advice = ''): UsageError {
  const message = `${error.message}. Nothing was started.${advice}`;
  return isDiskFull(error.cause) ? new NoVerdictError(message) : new UsageError(message);
}

/** A keeper ends a moment after its run. */
const lastWriterMs = 2000;

/** Another registry (XDG_RUNTIME_DIR) of this machine may have a run of this id: its files must not be moved away under it. */
async function isWrittenTo(resultsDir: string): Promise<boolean> {
  return !(await waitUntil(() => findWriter(resultsDir) === null, lastWriterMs));
}

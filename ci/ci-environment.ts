export type CiProvider = 'github-actions' | 'buildkite' | 'none';

/** What the CI system says about this job. Pure data out of the environment. */
export interface CiEnvironment {
  readonly provider: CiProvider;
  /** True on any CI, also one we have no special support for (`CI=true` or `CI=1`). */
  readonly isCi: boolean;
  /** The CI's own build id, with `-retry<N>` from the first retry on; null where the CI gives none. Not validated. */
  readonly buildId: string | null;
  /** The variables it was made of, for messages and run.json: `BUILDKITE_BUILD_ID, BUILDKITE_RETRY_COUNT`. */
  readonly buildIdOrigin: string | null;
  /** GitHub's step summary file ($GITHUB_STEP_SUMMARY), null elsewhere. */
  readonly stepSummaryPath: string | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Detects Buildkite and GitHub Actions by the variable each documents for it.
 * Buildkite counts retries from 0 (BUILDKITE_RETRY_COUNT), GitHub counts attempts from 1 (GITHUB_RUN_ATTEMPT);
 * jobs of one parallel Buildkite step share a build id, so BUILDKITE_PARALLEL_JOB becomes part of it.
 */
export function detectCi(environment: Environment): CiEnvironment {
  const isCi = /^(true|1)$/i.test(environment.CI ?? '');
  if (environment.BUILDKITE === 'true') {
    return {
      provider: 'buildkite',
      isCi: true,
      ...buildIdOf(environment, 'BUILDKITE_BUILD_ID', 'BUILDKITE_RETRY_COUNT', 0, 'BUILDKITE_PARALLEL_JOB'),
      stepSummaryPath: null,
    };
  }
  if (environment.GITHUB_ACTIONS === 'true') {
    return {
      provider: 'github-actions',
      isCi: true,
      ...buildIdOf(environment, 'GITHUB_RUN_ID', 'GITHUB_RUN_ATTEMPT', 1, null),
      stepSummaryPath: environment.GITHUB_STEP_SUMMARY || null,
    };
  }
  return { provider: 'none', isCi, buildId: null, buildIdOrigin: null, stepSummaryPath: null };
}

function buildIdOf(
  environment: Environment,
  idName: string,
  countName: string,
  firstCount: number,
  parallelName: string | null,
): Pick<CiEnvironment, 'buildId' | 'buildIdOrigin'> {
  const id = environment[idName];
  if (id === undefined || id === '') return { buildId: null, buildIdOrigin: null };
  let buildId = id;
  const origin = [idName];
  const parallel = parallelName === null ? null : count(environment[parallelName]);
  if (parallelName !== null && parallel !== null) {
    buildId += `-job${parallel}`;
    origin.push(parallelName);
  }
  const retries = (count(environment[countName]) ?? firstCount) - firstCount;
  if (retries > 0) {
    buildId += `-retry${retries}`;
    origin.push(countName);
  }
  return { buildId, buildIdOrigin: origin.join(', ') };
}

function count(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : null;
}

import { describe, expect, it } from 'vitest';
import { detectCi } from '../../ci/ci-environment.js';

const buildkite = { CI: 'true', BUILDKITE: 'true', BUILDKITE_BUILD_ID: '0191-ab' };
const github = { CI: 'true', GITHUB_ACTIONS: 'true', GITHUB_RUN_ID: '123456', GITHUB_STEP_SUMMARY: '/s/summary.md' };

describe('detectCi', () => {
  it('finds none on a developer’s machine', () => {
    expect(detectCi({ BUILDKITE_BUILD_ID: 'stray' })).toEqual({
      provider: 'none',
      isCi: false,
      buildId: null,
      buildIdOrigin: null,
      stepSummaryPath: null,
    });
  });

  it.each([
    ['true', true],
    ['1', true],
    ['TRUE', true],
    ['false', false],
    ['', false],
  ])('CI=%s of an unknown system is %s', (CI, isCi) =>
    expect(detectCi({ CI })).toMatchObject({ provider: 'none', isCi }),
  );

  it.each([
    ['first job', {}, '0191-ab', 'BUILDKITE_BUILD_ID'],
    ['not retried', { BUILDKITE_RETRY_COUNT: '0' }, '0191-ab', 'BUILDKITE_BUILD_ID'],
    ['second retry', { BUILDKITE_RETRY_COUNT: '2' }, '0191-ab-retry2', 'BUILDKITE_BUILD_ID, BUILDKITE_RETRY_COUNT'],
    ['parallel job', { BUILDKITE_PARALLEL_JOB: '0' }, '0191-ab-job0', 'BUILDKITE_BUILD_ID, BUILDKITE_PARALLEL_JOB'],
    ['nonsense', { BUILDKITE_RETRY_COUNT: '-1', BUILDKITE_PARALLEL_JOB: 'x' }, '0191-ab', 'BUILDKITE_BUILD_ID'],
  ])('Buildkite, %s', (_, more, buildId, buildIdOrigin) => {
    expect(detectCi({ ...buildkite, ...more })).toMatchObject({
      provider: 'buildkite',
      isCi: true,
      buildId,
      buildIdOrigin,
    });
  });

  it.each([
    ['1', '123456', 'GITHUB_RUN_ID'],
    ['3', '123456-retry2', 'GITHUB_RUN_ID, GITHUB_RUN_ATTEMPT'],
  ])('GitHub, attempt %s', (GITHUB_RUN_ATTEMPT, buildId, buildIdOrigin) => {
    expect(detectCi({ ...github, GITHUB_RUN_ATTEMPT })).toEqual({
      provider: 'github-actions',
      isCi: true,
      buildId,
      buildIdOrigin,
      stepSummaryPath: '/s/summary.md',
    });
  });

  it('gives no build id where the CI gives none', () => {
    expect(detectCi({ GITHUB_ACTIONS: 'true' })).toMatchObject({
      provider: 'github-actions',
      isCi: true,
      buildId: null,
    });
    expect(detectCi({ BUILDKITE: 'true', BUILDKITE_BUILD_ID: '' })).toMatchObject({
      buildId: null,
      buildIdOrigin: null,
    });
  });
});

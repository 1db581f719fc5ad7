import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { type Bench, test } from './bench.js';

const inherited = { BUILD_ID: undefined, CI: 'true' };

describe('on GitHub Actions', () => {
  const github = (bench: Bench) => ({
    ...inherited,
    GITHUB_ACTIONS: 'true',
    GITHUB_RUN_ID: bench.buildId,
    GITHUB_RUN_ATTEMPT: '3',
    GITHUB_STEP_SUMMARY: path.join(bench.directory, 'summary.md'),
  });

  test('a run has the id of its attempt, folds its log by step and writes the step summary', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--only', 'lm-eval'], github(bench));
    expect(ended.code, ended.output).toBe(0);
    const record = bench.record();
    expect(record.buildId).toBe(`${bench.buildId}-retry2`);
    expect(record.settings).toContainEqual(expect.objectContaining({ name: 'BUILD_ID', origin: 'ci' }));
    const lines = ended.stdout.split('\n');
    const groups = lines.filter((line) => line.startsWith('::group::'));
    expect(groups).toHaveLength(record.steps.length);
    expect(groups[0]).toBe('::group::Build image (build-image)');
    expect(lines.filter((line) => line === '::endgroup::')).toHaveLength(groups.length);
    expect(lines.filter((line) => line.startsWith('::error'))).toEqual([]);
    const summary = readFileSync(path.join(bench.directory, 'summary.md'), 'utf8');
    expect(summary).toContain(`${bench.buildId}-retry2`);
    expect(summary).toMatch(/simulated/i);
    expect(summary).toContain('Samples that differ between the two runs');
  });

  test('a failure is an error line with its reason, and stands in the summary', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--only', 'lm-eval'], {
      ...github(bench),
      SIM_FAULT: 'wrong-text-from-cache',
    });
    expect(ended.code, ended.output).toBe(1);
    expect(ended.stdout).toMatch(/^::error title=lm-eval%3A incorrect-output::.*required is == 0 samples/m);
    expect(readFileSync(path.join(bench.directory, 'summary.md'), 'utf8')).toContain('incorrect-output');
  });
});

describe('on Buildkite', () => {
  test('a run has the id of its retry, groups its log and annotates the build', async ({ bench }) => {
    const bin = path.join(bench.directory, 'bin');
    mkdirSync(bin);
    const agent = path.join(bin, 'buildkite-agent');
    writeFileSync(
      agent,
      `#!/bin/sh\necho "$@" >"${bench.directory}/arguments"\ncat >"${bench.directory}/annotation"\n`,
    );
    chmodSync(agent, 0o755);
    const ended = await bench.run(['mp-test', '--only', 'lm-eval'], {
      ...inherited,
      PATH: `${bin}:${bench.environment['PATH']}`,
      BUILDKITE: 'true',
      BUILDKITE_BUILD_ID: bench.buildId,
      BUILDKITE_RETRY_COUNT: '1',
      SIM_FAULT: 'wrong-text-from-cache',
    });
    expect(ended.code, ended.output).toBe(1);
    expect(bench.record().buildId).toBe(`${bench.buildId}-retry1`);
    expect(ended.stdout).toMatch(/^--- .*\(lm-eval\)$/m);
    expect(ended.stdout).toMatch(/^\^\^\^ \+\+\+$/m);
    expect(ended.stdout).toMatch(/^ERROR: lm-eval: incorrect-output: /m);
    expect(readFileSync(path.join(bench.directory, 'arguments'), 'utf8')).toBe(
      `annotate --style error --context lmcache-ci-${bench.buildId}-retry1\n`,
    );
    expect(readFileSync(path.join(bench.directory, 'annotation'), 'utf8')).toContain('incorrect-output');
  });
});

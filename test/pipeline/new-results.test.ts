import { existsSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { detectCi } from '../../ci/ci-environment.js';
import { defaultRegistryDirectory, openRegistry } from '../../engines/registry.js';
import { openNewResults, resultsRefusal } from '../../pipeline/new-results.js';
import type { RunPlan } from '../../pipeline/run-plan.js';
import { EventLog } from '../../results-schema/event-log.js';
import { ResultsDirectoryError } from '../../results-schema/results-directory-checks.js';
import { createResultsDirectory } from '../../results-schema/results-directory-fs.js';
import { commonSettings } from '../../steps/common-settings.js';
import { sampleRun, temporaryDirectory } from '../engines/engine-rig.js';
import { sampleRun as sampleRecord } from '../results-schema/sample-run.js';

const refusal = (code: string) =>
  resultsRefusal(
    new ResultsDirectoryError('not-writable', '/results', 'results directory "/results" cannot be written', {
      cause: Object.assign(new Error(code), { code }),
    }),
  );

describe('a results directory that cannot be used', () => {
  it.each([
    ['ENOSPC', 3],
    ['EDQUOT', 3],
    ['EACCES', 2],
    ['EROFS', 2],
  ])('by %s ends with %i before anything is started', (code, exitCode) => {
    expect(refusal(code)).toMatchObject({ exitCode, message: expect.stringContaining('Nothing was started') });
  });
});

describe('results that are there already', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });

  const step = (name: string) => ({
    ...{ name, title: name, kind: 'setup' as const, startedAt: '2026-11-22T00:00:00.000Z', durationSeconds: 1 },
    result: { outcome: 'passed' as const, verdicts: [] },
  });

  it.each([
    ['build-image alone', [['build-image']], null],
    ['a launch that was killed after it', [['build-image'], ['launch-containers']], '.1'],
    ['a whole run', [['build-image', 'launch-containers']], '.1'],
  ])('of %s', async (_, commands, movedTo) => {
    const directory = temporaryDirectory();
    vi.stubEnv('XDG_RUNTIME_DIR', directory);
    const said: string[] = [];
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => said.push(String(text)) > 0);
    const root = path.join(directory, 'results');
    const earlier = await createResultsDirectory(root, { buildId: 'earlier', isLive: async () => false });
    const verdict = { outcome: 'passed' as const, exitCode: 0 as const, message: '' };
    const [first = []] = commands;
    await earlier.writeJson('run.json', sampleRecord({ buildId: 'earlier', steps: first.map(step), verdict }));
    const events = new EventLog(earlier.path('events.jsonl'));
    for (const steps of commands)
      events.append({ type: 'run-started', buildId: 'b', command: [], engine: 'sim', runtime: 'process', steps });
    events.close();
    const plan = newPlan(directory, { buildId: 'later', resultsDir: root });
    expect((await openNewResults(plan, { goesOnAfterBuild: true })).root).toBe(root);
    expect(existsSync(`${root}.1`)).toBe(movedTo !== null);
    expect(existsSync(path.join(root, 'run.json'))).toBe(movedTo === null);
    expect(said).toEqual(movedTo === null ? [] : [`The results that were in "${root}" are now in "${root}.1".\n`]);
  });
});

function newPlan(workspace: string, given: { readonly buildId: string; readonly resultsDir: string }): RunPlan {
  const { buildId, resultsDir } = given;
  return {
    facts: { buildId, engine: 'sim', runtime: 'process', workspace },
    resultsDir,
    settings: [],
    ci: detectCi({}),
    simulatedBecause: null,
    startedAt: new Date(),
  };
}

describe('a BUILD_ID that a live run has', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  /** The refusal of a run whose id comes from the build, or was given, where the build's other step is at work. */
  function refusalOn(variables: Record<string, string>, origin: 'ci' | 'environment' = 'ci'): Promise<unknown> {
    const directory = temporaryDirectory();
    vi.stubEnv('XDG_RUNTIME_DIR', directory);
    openRegistry(defaultRegistryDirectory()).write(
      sampleRun({ buildId: '4711', resultsDir: path.join(directory, 'a') }),
    );
    const definition = commonSettings.BUILD_ID;
    const plan: RunPlan = {
      ...newPlan(directory, { buildId: '4711', resultsDir: path.join(directory, 'b') }),
      settings: [{ name: 'BUILD_ID', value: '4711', origin, source: null, definition }],
      ci: detectCi(variables),
    };
    return openNewResults(plan).catch((error: unknown) => error);
  }

  it('is refused, with an id for each step where it is that of a CI build', async () => {
    const taken = 'BUILD_ID "4711" belongs to a live run (';
    const buildkite = { BUILDKITE: 'true', BUILDKITE_BUILD_ID: '4711' };
    const advice = 'Steps of one build that share a host need ids of their own: ';
    for (const [variables, id] of [
      [buildkite, 'BUILD_ID="$BUILDKITE_BUILD_ID-$BUILDKITE_STEP_KEY".'],
      [{ GITHUB_ACTIONS: 'true', GITHUB_RUN_ID: '4711' }, 'BUILD_ID="$GITHUB_RUN_ID-$GITHUB_JOB".'],
    ] as const) {
      const message = expect.stringMatching(
        /^BUILD_ID "4711" belongs to a live run \(.*Nothing was started\. Steps of/s,
      );
      expect(await refusalOn(variables)).toMatchObject({ exitCode: 2, message });
      expect(String(await refusalOn(variables))).toContain(`${advice}${id}`);
    }
    for (const plain of [await refusalOn({}), await refusalOn(buildkite, 'environment')]) {
      expect(String(plain)).toContain(taken);
      expect(String(plain)).not.toContain(advice);
    }
  });
});

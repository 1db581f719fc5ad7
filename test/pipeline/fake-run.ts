import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { detectCi } from '../../ci/ci-environment.js';
import { externalFleet } from '../../engines/live-fleet.js';
import { collectDefinitions } from '../../pipeline/config/definitions.js';
import { resolveSettings } from '../../pipeline/config/resolve-settings.js';
import type { Reporter } from '../../pipeline/reporter.js';
import type { Run } from '../../pipeline/run.js';
import { completeSettings } from '../../pipeline/run-plan.js';
import { EventLog } from '../../results-schema/event-log.js';
import { readRun } from '../../results-schema/read-run.js';
import { createResultsDirectory } from '../../results-schema/results-directory-fs.js';
import type { StepResult } from '../../results-schema/step-result.js';
import { defineStep, type Step } from '../../steps/step.js';

export interface FakeRun {
  readonly run: Run;
  /** What the reporter was told: `step-a started`, `step-a passed`, `warning step-a ...`. */
  readonly told: string[];
  /** Types of the events that were written. */
  eventTypes(): Promise<readonly string[]>;
}

/** A run in a temporary directory, with servers that nobody starts. */
export async function fakeRun(environment: Readonly<Record<string, string>> = {}): Promise<FakeRun> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-pipeline-'));
  const results = await createResultsDirectory(path.join(directory, 'results'), {
    buildId: 'test',
    isLive: async () => false,
  });
  const events = new EventLog(results.path('events.jsonl'));
  onTestFinished(async () => {
    events.close();
    await rm(directory, { recursive: true, force: true });
  });
  const startedAt = new Date('2026-11-22T00:00:00Z');
  const given = { BUILD_ID: 'test', RESULTS_DIR: results.root, ...environment };
  const { settings } = resolveSettings(collectDefinitions([]), { environment: given });
  const told: string[] = [];
  const run: Run = {
    plan: {
      facts: { buildId: 'test', engine: 'sim', runtime: 'external', workspace: directory },
      resultsDir: results.root,
      settings: await completeSettings(settings, startedAt),
      ci: detectCi({}),
      simulatedBecause: null,
      startedAt,
    },
    results,
    events,
    fleet: externalFleet({ vllmUrl: null, baselineUrl: null, lmcacheUrl: null }),
    reporter: recordingReporter(told),
  };
  return { run, told, eventTypes: async () => (await readRun(results.root)).events.map(({ type }) => type) };
}

function recordingReporter(told: string[]): Reporter {
  return {
    start: () => {},
    stepStarted: (name) => void told.push(`${name} started`),
    log: (step, message) => void told.push(`log ${step}: ${message}`),
    warn: (step, message) => void told.push(`warning ${step}: ${message}`),
    progress: (step, { task }) => void told.push(`progress ${step}: ${task}`),
    stepFinished: (name, _title, result) => void told.push(`${name} ${result.outcome}`),
    finish: () => {},
  };
}

export const passed: StepResult & { readonly outcome: 'passed' } = { outcome: 'passed', verdicts: [] };
export const failed: StepResult & { readonly outcome: 'failed' } = {
  outcome: 'failed',
  reason: 'regression',
  cause: 'threshold',
  message: 'too slow',
  evidence: [],
  verdicts: [],
};

/** A step without settings. */
export function fakeStep(
  name: string,
  kind: Step['kind'],
  run: Step['run'] = async () => passed,
  prepare?: NonNullable<Step['prepare']>,
): Step {
  return defineStep({ name, title: `Title of ${name}`, kind, settings: {}, run, ...(prepare ? { prepare } : {}) });
}

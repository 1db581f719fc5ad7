import { access } from 'node:fs/promises';
import path from 'node:path';
import { createLogGroups } from '../ci/log-groups.js';
import { publishSummary } from '../ci/publish-summary.js';
import { BuildIdTakenError, EngineStartError } from '../engines/errors.js';
import type { EngineEvent, RunFleet } from '../engines/run-fleet.js';
import { wantsColor } from '../report/colors.js';
import { EventLog } from '../results-schema/event-log.js';
import { readRun } from '../results-schema/read-run.js';
import type { ResultsDirectory } from '../results-schema/results-directory.js';
import type { RunRecord, StepRecord } from '../results-schema/run-record.js';
import { judgeRun, judgeWhole, type RunVerdict } from '../results-schema/run-verdict.js';
import { secrets } from '../results-schema/secrets.js';
import { raisePriority } from '../simulator/priority.js';
import type { SettingProblem } from './config/resolve-settings.js';
import { listenForInterruption } from './interruption.js';
import { MaskingReporter } from './masking-reporter.js';
import { PlainReporter } from './plain-reporter.js';
import type { Reporter } from './reporter.js';
import type { Run } from './run.js';
import { type RunIdentity, unknownIdentity } from './run-identity.js';
import { type RunPlan, settingValues } from './run-plan.js';
import { buildRunRecord } from './run-recorder.js';
import { logExcerpts, markdownSummary, runHeader, terminalSummary } from './summary.js';
import { canRedraw, TtyReporter } from './tty-reporter.js';
import { NoVerdictError, UsageError } from './usage-error.js';

export interface SessionWork {
  readonly steps: readonly StepRecord[];
  readonly identity: RunIdentity;
}

export interface SessionOptions {
  readonly plan: RunPlan;
  /** As typed, for run.json. */
  readonly command: readonly string[];
  readonly results: ResultsDirectory;
  readonly nearMisses: readonly SettingProblem[];
  /** Names of the steps that are to run. */
  readonly steps: readonly string[];
  openFleet(onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<RunFleet>;
  /** Runs the steps; what a step throws has become its result already. */
  work(run: Run, signal: AbortSignal): Promise<SessionWork>;
}

/**
 * One process's part in a run, from its first line to its exit code: events, signals, steps, run.json, summary, CI.
 * @returns the exit code of what this process did; run.json keeps what earlier processes of the same run did.
 */
export async function runSession(options: SessionOptions): Promise<number> {
  const { plan, results } = options;
  const color = wantsColor(process.env, process.stdout);
  const events = new EventLog(results.path('events.jsonl'));
  learnTokens(plan);
  const reporter = new MaskingReporter(chooseReporter(plan, color));
  const { buildId, engine, runtime } = plan.facts;
  events.append({
    type: 'run-started',
    buildId,
    command: [...options.command],
    engine,
    runtime,
    steps: [...options.steps],
  });
  reporter.start(runHeader(plan, results.root, color));
  for (const { name, message } of options.nearMisses) {
    events.append({ type: 'setting-warning', setting: name, suggestion: null, message });
    reporter.warn(null, message);
  }
  const interruption = listenForInterruption((name, first) => {
    reporter.warn(
      null,
      first ? `${name}: cleaning up, nothing will be left behind ...` : 'still cleaning up, please wait ...',
    );
  });
  try {
    const fleet = await options
      .openFleet((event) => void events.append(event), interruption.signal)
      .catch((error: unknown) => {
        // Of two runs that begin at once with one BUILD_ID, or a keeper that does not start.
        if (error instanceof BuildIdTakenError) throw new UsageError(`${error.message}. Nothing was started.`);
        if (error instanceof EngineStartError) throw new NoVerdictError(`${error.message} Nothing was started.`);
        throw error;
      });
    if (engine === 'sim') raisePriority();
    const run: Run = { plan, results, events, fleet, reporter };
    try {
      // After a kill its settings and machine are still known.
      if (!(await hasRecord(run))) await writeRecord(run, options.command, [], unknownIdentity, null);
      const { steps, identity } = await options.work(run, interruption.signal);
      const verdict = judgeRun(steps, interruption.interruptedBy());
      if (!(await hasRecord(run))) {
        reporter.warn(
          null,
          "Somebody has removed this run's results while it ran: what is there now is not all of them.",
        );
      }
      events.append({ type: 'run-finished', verdict });
      const record = await writeRecord(run, options.command, steps, identity, verdict);
      const logs = await logExcerpts(run, record);
      // run.json has the whole run; this process shows what it did itself.
      const shown = { ...record, steps: [...steps], verdict };
      reporter.finish(record, terminalSummary(shown, results.root, logs, color));
      const published = await publishSummary(plan.ci, secrets.hide(markdownSummary(shown, results.root, logs)), {
        style: verdict.outcome === 'passed' ? 'success' : verdict.outcome === 'failed' ? 'error' : 'warning',
        context: `lmcache-ci-${buildId}`,
        signal: AbortSignal.timeout(30_000),
      });
      if (published.outcome === 'failed') reporter.warn(null, `The CI did not take the summary: ${published.message}`);
      return verdict.exitCode;
    } finally {
      await fleet.close();
    }
  } finally {
    events.close();
    interruption.dispose();
  }
}

/** Where engines take a Hugging Face token from, it must not come out again. */
function learnTokens(plan: RunPlan): void {
  const values = settingValues(plan.settings);
  if (typeof values['HF_TOKEN_PATH'] === 'string') secrets.learnFile(values['HF_TOKEN_PATH']);
  if (typeof values['HF_HOME'] === 'string') secrets.learnFile(path.join(values['HF_HOME'], 'token'));
}

async function hasRecord({ results }: Run): Promise<boolean> {
  return access(results.path('run.json')).then(
    () => true,
    () => false,
  );
}

async function writeRecord(
  run: Run,
  command: readonly string[],
  steps: readonly StepRecord[],
  identity: RunIdentity,
  verdict: RunVerdict | null,
): Promise<RunRecord> {
  const earlier = (await readRun(run.results.root)).record;
  const kept = earlier?.steps.filter(({ name }) => !steps.some((step) => step.name === name)) ?? [];
  const known =
    identity === unknownIdentity && earlier
      ? { ...earlier.versions, image: earlier.image, simulated: earlier.simulated }
      : identity;
  const all = [...kept, ...steps];
  const whole = verdict === null ? null : judgeWhole(verdict, all);
  const record = await buildRunRecord(run, command, all, known, whole);
  await run.results.writeJson('run.json', record);
  return record;
}

function chooseReporter(plan: RunPlan, color: boolean): Reporter {
  if (canRedraw(process.stdout) && !plan.ci.isCi) return new TtyReporter(process.stdout, color);
  return new PlainReporter(createLogGroups(plan.ci.provider), (line) => process.stdout.write(`${line}\n`));
}

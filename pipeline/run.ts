import type { RunFleet } from '../engines/run-fleet.js';
import type { EventLog } from '../results-schema/event-log.js';
import type { RunEventInput } from '../results-schema/events.js';
import type { ResultsDirectory } from '../results-schema/results-directory.js';
import type { CommonSettings } from '../steps/common-settings.js';
import { setupVenv } from '../steps/python-venv.js';
import type { SettingDefinitions, SettingValues } from '../steps/settings.js';
import type { OwnedProcessOptions, Step, StepContext, StepProgress } from '../steps/step.js';
import { executeOwned } from './execute.js';
import type { Reporter } from './reporter.js';
import { type RunPlan, settingValues } from './run-plan.js';

/** A run that has begun: its directory, its engines, its voice. */
export interface Run {
  readonly plan: RunPlan;
  readonly results: ResultsDirectory;
  readonly events: EventLog;
  readonly fleet: RunFleet;
  readonly reporter: Reporter;
}

/** What one step gets to see of the run. */
export function stepContext<Definitions extends SettingDefinitions>(
  run: Run,
  step: Pick<Step<Definitions>, 'name'>,
  signal: AbortSignal,
): StepContext<SettingValues<Definitions>> {
  const { plan, results, fleet } = run;
  const progress = stepProgress(run, step.name);
  let numbered = 0;
  const emit = (event: RunEventInput) => void run.events.append(event);
  const execute = async (command: readonly string[], options: OwnedProcessOptions = {}) => {
    const id = `${step.name}-${++numbered}`;
    emit({ type: 'child-started', id, command: [...command], childPid: null });
    void options.idle?.then(
      () => emit({ type: 'child-idle', id }),
      () => undefined,
    );
    let end: { exitCode: number | null; signal: string | null } = { exitCode: null, signal: null };
    try {
      const result = await executeOwned(command, {
        ...options,
        // A child that leaves its group, or that the keeper has not heard of yet, is still known as this run's.
        environment: { ...options.environment, ...fleet.mark },
        signal: options.signal === undefined ? signal : AbortSignal.any([signal, options.signal]),
        owner: fleet,
      });
      end = result;
      return result;
    } finally {
      emit({ type: 'child-finished', id, exitCode: end.exitCode, signal: end.signal });
    }
  };
  const workload = async <Result>(name: string, target: string, work: () => Promise<Result>): Promise<Result> => {
    const id = `${step.name}-${++numbered}`;
    emit({ type: 'workload-started', id, workload: name, target });
    let ok = false;
    try {
      const result = await work();
      ok = true;
      return result;
    } finally {
      emit({ type: 'workload-finished', id, ok });
    }
  };
  return {
    // Parsed and complete: resolve-settings checked every value against these definitions.
    settings: settingValues(plan.settings) as unknown as CommonSettings & SettingValues<Definitions>,
    run: plan.facts,
    results,
    fleet,
    progress,
    emit,
    signal,
    execute,
    workload,
    temporaryDirectory: (purpose) => fleet.temporaryDirectory(purpose),
    setupVenv: (...packages) =>
      setupVenv({
        packages,
        directory: String(settingValues(plan.settings)['VENV_DIR']),
        execute,
        progress,
        signal,
        logPath: results.path('logs', 'venv.log'),
      }),
  };
}

function stepProgress(run: Run, step: string): StepProgress {
  return {
    log: (message) => {
      run.events.append({ type: 'log', step, message });
      run.reporter.log(step, message);
    },
    warn: (message) => {
      run.events.append({ type: 'warning', step, message });
      run.reporter.warn(step, message);
    },
    update: (state) => run.reporter.progress(step, state),
  };
}

import type { Fleet } from '../engines/fleet.js';
import type { RunEventInput } from '../results-schema/events.js';
import type { ResultsDirectory } from '../results-schema/results-directory.js';
import type { StepResult } from '../results-schema/step-result.js';
import type { CommonSettings } from './common-settings.js';
import type { SettingDefinitions, SettingValues } from './settings.js';

/** Where a step tells what it is doing; the renderer decides how that looks. */
export interface StepProgress {
  /** A line worth keeping. */
  log(message: string): void;
  warn(message: string): void;
  /** Current state of long work; replaces the previous one on a TTY. `figures`: short current numbers, e.g. 'TTFT 0.15 s'. */
  update(state: {
    readonly task: string;
    readonly done?: number;
    readonly total?: number;
    readonly figures?: string;
  }): void;
}

/** A Python virtual environment that is ready to use. */
export interface Venv {
  readonly directory: string;
  /** Absolute path of its interpreter. */
  readonly python: string;
}

/** A child process of a step: owned by the run, ended with it. */
export interface OwnedProcessOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  readonly timeoutMs?: number;
  /** Ends the program like the run's own signal; `execute` then throws its reason. */
  readonly signal?: AbortSignal;
  /** Full output, both streams, appended here. */
  readonly logPath?: string;
  onLine?(line: string, stream: 'stdout' | 'stderr'): void;
  /** For a program that stays and is given work: resolves when it only waits. Its time until then is noted as its own. */
  readonly idle?: Promise<unknown>;
}
export interface OwnedProcessResult {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/** The run's facts that no setting decides alone. */
export interface RunFacts {
  readonly buildId: string;
  /** What `ENGINE=auto` came to. */
  readonly engine: 'vllm' | 'sim';
  readonly runtime: 'docker' | 'process' | 'external';
  /** The checkout (or installed package) this code runs from. */
  readonly workspace: string;
}

export interface StepContext<Values> {
  readonly settings: CommonSettings & Values;
  readonly run: RunFacts;
  readonly results: ResultsDirectory;
  /** The run's engines; `fleet.require(...)` gives an endpoint or throws a clear error. */
  readonly fleet: Fleet;
  readonly progress: StepProgress;
  /** Appends to events.jsonl: a step brackets its builds and workloads, so that own time can be told apart. */
  emit(event: RunEventInput): void;
  /** Aborted on Ctrl-C, SIGTERM, SIGHUP, a time limit: goes into everything that waits. */
  readonly signal: AbortSignal;
  /**
   * A new temporary directory, mode 0700, for this step to remove; registered with the run's keeper, which removes it
   * where the step cannot.
   * @param purpose a part of its name
   */
  temporaryDirectory(purpose: string): Promise<string>;
  /** A virtual environment with these packages, made once, shared, under a lock. */
  setupVenv(...packages: readonly string[]): Promise<Venv>;
  /**
   * Runs a program in its own process group, without a shell; the group is registered with the run's
   * keeper before anything can be lost, ended (SIGTERM, then SIGKILL) on abort or time-out.
   */
  execute(command: readonly string[], options?: OwnedProcessOptions): Promise<OwnedProcessResult>;
  /**
   * Runs one workload against a server and notes its start and end (`workload-started`, `workload-finished`
   * in events.jsonl): that time is the workload's, not the orchestrator's own.
   * @param target the server's role or base URL, for the reader of the events
   */
  workload<Result>(name: string, target: string, work: () => Promise<Result>): Promise<Result>;
}

export type StepKind =
  /** build, launch, wait: what tests need */
  | 'setup'
  | 'test'
  /** runs whatever happened */
  | 'cleanup';

export interface Step<Definitions extends SettingDefinitions = SettingDefinitions> {
  /** `long-doc-qa`: for --only, --skip, run.json. */
  readonly name: string;
  readonly title: string;
  readonly kind: StepKind;
  readonly settings: Definitions;
  /**
   * Started while the engines start, awaited before `run`: virtual environments, prompts.
   * May be absent or not called (a step run alone): `run` must not rely on it.
   */
  prepare?(context: StepContext<SettingValues<Definitions>>): Promise<void>;
  run(context: StepContext<SettingValues<Definitions>>): Promise<StepResult>;
}

/** Identity, for inference of the settings' types. */
export function defineStep<const Definitions extends SettingDefinitions>(step: Step<Definitions>): Step<Definitions> {
  return step;
}

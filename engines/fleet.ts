import type { EngineExit, EngineState } from './engine-state.js';
import type { EngineRole, LaunchSpec } from './launch-spec.js';
import type { ReservedGpu } from './live-run.js';

/** Where an engine is reached. */
export interface EngineEndpoint {
  readonly role: EngineRole;
  /** `http://127.0.0.1:8000`, no trailing slash. */
  readonly baseUrl: string;
  /** null for servers we did not start. */
  readonly containerName: string | null;
  readonly logPath: string | null;
}

export interface UnexpectedExit {
  readonly role: EngineRole;
  readonly name: string;
  readonly exit: EngineExit;
  /** Last lines of its log, newest last. */
  readonly logTail: readonly string[];
}

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  onProgress?(waitingFor: readonly EngineRole[], elapsedMs: number): void;
}

export type Readiness =
  | { readonly outcome: 'ready'; readonly readyAfterMs: Readonly<Partial<Record<EngineRole, number>>> }
  /** An engine ended before it served. */
  | { readonly outcome: 'engine-died'; readonly exit: UnexpectedExit }
  | {
      readonly outcome: 'timeout';
      readonly missing: readonly { readonly role: EngineRole; readonly lastAnswer: string }[];
    };

/** What the removal of a run's things found. Cleaning never throws: problems are listed here. */
export interface ReleaseReport {
  readonly removed: readonly string[];
  /** What needed SIGKILL after the grace period. */
  readonly forced: readonly string[];
  /** What could not be removed, each with what holds it. */
  readonly problems: readonly string[];
}

export interface GpuRequirements {
  readonly count: number;
  readonly minFreeMiB: number;
  readonly maxUtilizationPercent: number;
  /** How long to wait for memory that a dead neighbour still holds. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
  /** Told when nothing fits yet: each GPU, its memory and who uses it. */
  onWaiting?(lines: readonly string[]): void;
}

/** The engines of one run, whichever process started them. */
export interface Fleet {
  /**
   * Reserves the GPUs with the most free memory that qualify, for this run alone; the best one first.
   * @throws EngineStartError (`no-gpu`) that lists each GPU, its memory and who uses it.
   */
  reserveGpus(requirements: GpuRequirements): Promise<readonly ReservedGpu[]>;
  /** Starts all of them in parallel through the run's keeper. @throws EngineStartError (see engines/errors.ts). */
  launch(specs: readonly LaunchSpec[], signal: AbortSignal): Promise<void>;
  /** `/health` every 100 ms while container or process is watched. */
  waitUntilReady(roles: readonly EngineRole[], options: WaitOptions): Promise<Readiness>;
  /** @throws when the run has no such engine, naming the step that launches it. */
  require(role: EngineRole): EngineEndpoint;
  /** null where there is none, or none with an HTTP API (an LMCache server launched as a module). */
  find(role: EngineRole): EngineEndpoint | null;
  state(role: EngineRole): EngineState;
  /** The first engine that ended although nobody stopped it; null while all is well. */
  unexpectedExit(): Promise<UnexpectedExit | null>;
  /** Last lines of an engine's log, newest last. */
  logTail(role: EngineRole, lines: number): Promise<readonly string[]>;
  /** Stops and removes everything the run started; the keeper ends with it. Harmless when nothing runs. */
  release(): Promise<ReleaseReport>;
}

import type { EngineExit, EngineHandle } from './engine-state.js';
import type { LaunchSpec } from './launch-spec.js';

/** A running engine, wherever it runs. */
export interface StartedEngine {
  readonly handle: EngineHandle;
  /** Resolves once, when the engine has ended by itself or by `stop`. Never rejects. */
  readonly exited: Promise<EngineExit>;
  /**
   * SIGTERM, then SIGKILL after `graceMs`; resolves when it is gone (a container: removed).
   * `forced` tells whether SIGKILL was needed. Stopping twice is harmless.
   * @param hurry ends the grace period early
   */
  stop(graceMs: number, hurry?: AbortSignal): Promise<{ readonly forced: boolean }>;
}

/** Where engines run. Implementations: docker, process. */
export interface EngineRuntime {
  readonly kind: 'docker' | 'process';
  /**
   * Starts the engine and follows its output into `logPath` from the first byte, ANSI codes stripped.
   * @param labels carried by whatever is started, so that a stranger can find and remove it.
   * @throws EngineStartError with a machine-readable cause (port, image, daemon, GPU).
   */
  start(spec: LaunchSpec, logPath: string, labels: Readonly<Record<string, string>>): Promise<StartedEngine>;
}

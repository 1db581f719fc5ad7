/** How an engine ended, as the runtime saw it. */
export interface EngineExit {
  /** null when a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  /** The kernel's or Docker's out-of-memory flag. */
  readonly outOfMemory: boolean;
  /** Its Docker daemon went away meanwhile; one that is started again ends what it finds running. */
  readonly daemonLost?: boolean | undefined;
  /** ISO 8601. */
  readonly at: string;
}

/** What can be found and stopped again by another process. */
export type EngineHandle =
  | { readonly kind: 'container'; readonly id: string; readonly name: string }
  /** `startTime`: field 22 of /proc/PID/stat, so that a reused pid is never taken for ours. */
  | { readonly kind: 'process'; readonly pid: number; readonly startTime: number };

/**
 * unstarted -> starting -> ready -> stopped
 *                  \________\_____-> failed
 */
export type EngineState =
  | { readonly status: 'unstarted' }
  | { readonly status: 'starting'; readonly handle: EngineHandle; readonly since: string }
  | { readonly status: 'ready'; readonly handle: EngineHandle; readonly since: string }
  | { readonly status: 'stopped'; readonly exit: EngineExit; readonly forced: boolean }
  | { readonly status: 'failed'; readonly exit: EngineExit | null; readonly message: string };

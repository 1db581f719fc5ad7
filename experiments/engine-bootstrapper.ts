import type { LogFiles } from '../engines/launch-spec.js';

/** One serving engine (or a server that engines need), whoever started it. */
export interface EngineBootstrapper {
  /** Unique within the run; names it in messages. */
  readonly name: string;
  /** `http://127.0.0.1:8000`, no trailing slash; null for a server without HTTP. */
  readonly baseUrl: string | null;
  /** Kept when it is closed; null for a server that runs elsewhere. */
  readonly logFiles: LogFiles | null;
  /** Why it did not start, did not get ready, or ended by itself; null while all is well. */
  readonly failure: string | null;
  /** Starts it and returns at once. What goes wrong shows in `waitUntilReady` and `failure`. */
  start(): void;
  /**
   * Resolves when it serves (true), or when it has ended, `timeoutSeconds` of wall time have passed or the signal is
   * aborted (false). Default: 60 s.
   */
  waitUntilReady(timeoutSeconds?: number, signal?: AbortSignal): Promise<boolean>;
  /** One look: its process lives and, once it was ready, its health check answers. Takes 2 s at most. */
  isHealthy(): Promise<boolean>;
  /** Resolves when it is gone: SIGTERM, then SIGKILL. Harmless when it has ended. @throws when it cannot be ended. */
  close(): Promise<void>;
}

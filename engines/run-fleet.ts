import type { EngineExit } from './engine-state.js';
import type { Fleet } from './fleet.js';
import type { EngineRole } from './launch-spec.js';
import type { LiveRun, ReservedGpu, RunPorts } from './live-run.js';

/** What happened to an engine; the same fields as the `engine-*` lines of events.jsonl. */
export type EngineEvent =
  | {
      readonly type: 'engine-starting' | 'engine-started' | 'engine-stopping';
      readonly role: EngineRole;
      readonly name: string;
    }
  | {
      readonly type: 'engine-ready';
      readonly role: EngineRole;
      readonly name: string;
      readonly readyAfterSeconds: number;
    }
  | {
      readonly type: 'engine-exited';
      readonly role: EngineRole;
      readonly name: string;
      /** We stopped it. */
      readonly expected: boolean;
      readonly exit: EngineExit | null;
    };

/** A new run, as its orchestrator announces it. */
export interface CreateFleetOptions {
  readonly buildId: string;
  readonly engine: 'vllm' | 'sim';
  readonly runtime: 'docker' | 'process';
  /** Absolute; logs go to its `logs/`. */
  readonly resultsDir: string;
  readonly ports: RunPorts;
  /** What a later process needs to join this run: MODEL, ports, SIM_SPEED, ... */
  readonly settings: LiveRun['settings'];
  /** Time between SIGTERM and SIGKILL when engines are stopped; 10 s by default. */
  readonly stopGraceMs?: number;
  readonly onEvent?: (event: EngineEvent) => void;
  /** Where the registry lies; `$XDG_RUNTIME_DIR/lmcache-ci` or `/tmp/lmcache-ci-<uid>` by default. */
  readonly registryDir?: string;
}

export interface JoinFleetOptions {
  readonly onEvent?: (event: EngineEvent) => void;
  readonly registryDir?: string;
}

/** Servers that run already: nothing is launched or removed. */
export interface ExternalServers {
  readonly vllmUrl: string | null;
  readonly baselineUrl: string | null;
  readonly lmcacheUrl: string | null;
}

/** The fleet as its run holds it: what steps see, and what only the run itself may do. */
export interface RunFleet extends Fleet {
  /** GPUs reserved for this run so far. */
  readonly gpus: readonly ReservedGpu[];
  /**
   * Hands a process group to the keeper: it is ended with the run, whoever dies first. A group that is
   * gone already is no error. Without a keeper (external servers) a keeper of process groups alone is started.
   */
  own(processGroup: number): Promise<void>;
  disown(processGroup: number): Promise<void>;
  /** The run outlives this process: its keeper stays until `cleanup`, or until `ttlMs` have passed. */
  detach(ttlMs?: number): Promise<void>;
  /**
   * Lets go of the keeper without releasing anything, for a process that joined, and after `detach`.
   * The owner of an attached run that closes instead of releasing is taken for lost.
   */
  close(): Promise<void>;
}

import type { GpuUse } from '../results-schema/run-record.js';
import type { EngineExit } from './engine-state.js';
import type { Fleet, UnexpectedExit } from './fleet.js';
import type { EngineRole } from './launch-spec.js';
import type { LiveRun, ReservedGpu } from './live-run.js';

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
  /** Named by what they are for; other runs keep off them. */
  readonly ports: LiveRun['ports'];
  /** False: no step of an mp-test may join this run. */
  readonly joinable?: false;
  /** What a later process needs to join this run: MODEL, ports, SIM_SPEED, ... */
  readonly settings: LiveRun['settings'];
  /** Time between SIGTERM and SIGKILL when engines are stopped; 10 s by default. */
  readonly stopGraceMs?: number;
  readonly onEvent?: (event: EngineEvent) => void;
  /**
   * The run's verdict is written after `release`: its keeper watches until `close` whether that happens, and notes
   * it where it does not. Whoever asks for this must call `close`.
   */
  readonly verdictFollows?: boolean;
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
  /** Variables for the environment of every child of the run: what leaves its process group is found by them. */
  readonly mark: Readonly<Record<string, string>>;
  /** GPUs reserved for this run so far. */
  readonly gpus: readonly ReservedGpu[];
  /** What they are used for after `release`, by uuid; empty before, and where it could not be told. */
  readonly gpusAfter: ReadonlyMap<string, GpuUse>;
  /** Resolves with the first engine that ends although nobody stopped it; with null when the signal is aborted first. */
  untilUnexpectedExit(signal: AbortSignal): Promise<UnexpectedExit | null>;
  /**
   * Hands a process group to the keeper: it is ended with the run, whoever dies first. A group that is
   * gone already is no error. Without a keeper (external servers) a keeper of process groups alone is started.
   */
  own(processGroup: number): Promise<void>;
  disown(processGroup: number): Promise<void>;
  /**
   * A new temporary directory, mode 0700. Whoever asks removes it; where that does not happen, the keeper does.
   * @param purpose a part of its name
   * @throws EngineStartError when its keeper is gone, or ends the run: nothing is made that nobody would remove
   */
  temporaryDirectory(purpose: string): Promise<string>;
  /** Ends one server of the run; its role is free again. Harmless when it has ended. @throws when it survives SIGKILL. */
  stop(role: EngineRole): Promise<void>;
  /** The run outlives this process: its keeper stays until `cleanup`, or until `ttlMs` have passed. */
  detach(ttlMs?: number): Promise<void>;
  /**
   * Lets go of the keeper without releasing anything, for a process that joined, and after `detach`.
   * The owner of an attached run that closes instead of releasing is taken for lost.
   */
  close(): Promise<void>;
}

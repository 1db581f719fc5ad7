/** The three parts of an mp-test run, named by what they are in it. */
export type MainRole = 'lmcache' | 'vllm' | 'baseline';

/** Experiments and sweeps start any number of servers: `server-8000`, ... */
export type EngineRole = MainRole | `server-${string}`;

/** What runs inside: decides the container's entrypoint, or the command of the process runtime. */
export type EngineProgram = 'vllm-serve' | 'lmcache-server' | 'lmcache-module' | 'other';

/**
 * Everything needed to start one engine, the same for a container, a process and the simulator.
 * Arguments are an array and never meet a shell.
 */
export interface LaunchSpec {
  readonly role: EngineRole;
  /** Container name, and the stem of the log file: `vllm-mp-test-<BUILD_ID>`. */
  readonly name: string;
  readonly program: EngineProgram;
  /** The program's arguments, its own name (`vllm serve`, `lmcache server`) not included. */
  readonly args: readonly string[];
  /** The engine's whole environment beyond the runtime's allow-list. */
  readonly environment: Readonly<Record<string, string>>;
  /** Docker only. */
  readonly container: ContainerOptions;
  /** Process runtime only: the command before `args`, e.g. `['vllm', 'serve']`. */
  readonly command: readonly string[];
  /** TCP ports the engine listens on; the first one serves HTTP health unless `healthUrl` says otherwise. */
  readonly ports: readonly number[];
  /** Answers 200 when the engine serves; null where the program has no HTTP (`lmcache-module`). */
  readonly healthUrl: string | null;
  /** Where its output goes instead of the run's `logs/`: two files, or twice the same one; appended to, left in place. */
  readonly logFiles?: LogFiles | undefined;
}

/** Absolute paths. */
export interface LogFiles {
  readonly stdout: string;
  readonly stderr: string;
}

export interface ContainerOptions {
  readonly image: string;
  /** null keeps the image's own entrypoint (`vllm serve` in the vLLM image). */
  readonly entrypoint: readonly string[] | null;
  readonly mounts: readonly { readonly source: string; readonly target: string; readonly readOnly: boolean }[];
  /** null on the simulator: neither the nvidia runtime nor a GPU request is sent. */
  readonly gpu: { readonly runtime: 'nvidia'; readonly uuids: readonly string[] } | null;
}

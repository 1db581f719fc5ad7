import { closeSync, constants, openSync } from 'node:fs';
import path from 'node:path';
import type { GpuRequirements, ReleaseReport } from '../engines/fleet.js';
import type { LaunchSpec, LogFiles } from '../engines/launch-spec.js';
import { createFleet } from '../engines/live-fleet.js';
import type { ReservedGpu } from '../engines/live-run.js';
import { identifySelf } from '../engines/process-identity.js';
import type { RunFleet } from '../engines/run-fleet.js';
import { makeFolder } from '../results-schema/make-folder.js';
import type { EngineBootstrapper } from './engine-bootstrapper.js';
import { EngineProcess } from './engine-process.js';

export interface EngineHostOptions {
  /** Names the run in the registry and on its containers, e.g. `experiments_20261122_103000_123`. */
  readonly id: string;
  readonly engine: 'vllm' | 'sim';
  readonly runtime: 'docker' | 'process';
  /** Absolute; the keeper's own log and its note about a run that was killed lie there. */
  readonly directory: string;
  /** Ports that other runs are to keep off, by what they are for. */
  readonly ports: Readonly<Record<string, number>>;
  /** Nothing is started once it is aborted. */
  readonly signal: AbortSignal;
  /** Time from SIGTERM to SIGKILL. Default: 10 s. */
  readonly stopGraceMs?: number;
  /** Where `{port}-stdout.log` and `{port}-stderr.log` go. Default: /tmp. */
  readonly logDirectory?: string;
  readonly registryDir?: string;
  /** A file with a Hugging Face token, which is hidden in the engines' logs; null or absent: none. */
  readonly hfTokenPath?: string | null;
}

/** What is to be started; everything else about it follows from the run. */
export type ServerSpec = Omit<LaunchSpec, 'role' | 'name' | 'logFiles'>;

/**
 * The servers of one run of experiments. A keeper process owns them, so that they end with the run whatever ends it,
 * kill -9 included.
 */
export interface EngineHost {
  /** A server on its first port, not yet started. One port has one server at a time. */
  server(spec: ServerSpec): EngineBootstrapper;
  /** Reserves GPUs for this run alone, instead of those it had. @throws EngineStartError (`no-gpu`). */
  reserveGpus(requirements: GpuRequirements): Promise<readonly ReservedGpu[]>;
  /** Ends what still runs, and the keeper. Harmless twice. */
  close(): Promise<ReleaseReport>;
}

/** @throws BuildIdTakenError when a live run has the id. */
export async function openEngineHost(options: EngineHostOptions): Promise<EngineHost> {
  const fleet = await createFleet({
    buildId: options.id,
    engine: options.engine,
    runtime: options.runtime,
    resultsDir: options.directory,
    ports: options.ports,
    joinable: false,
    settings: { HF_TOKEN_PATH: options.hfTokenPath ?? null },
    ...(options.stopGraceMs === undefined ? {} : { stopGraceMs: options.stopGraceMs }),
    ...(options.registryDir === undefined ? {} : { registryDir: options.registryDir }),
  });
  return new LiveEngineHost(fleet, options);
}

class LiveEngineHost implements EngineHost {
  readonly #fleet: RunFleet;
  readonly #options: EngineHostOptions;
  /** Logs that this run has begun. */
  readonly #begun = new Set<string>();

  constructor(fleet: RunFleet, options: EngineHostOptions) {
    this.#fleet = fleet;
    this.#options = options;
  }

  server(spec: ServerSpec): EngineBootstrapper {
    const port = spec.ports[0];
    if (port === undefined) throw new Error('A server without a port cannot be waited for');
    const logFiles = this.#logFiles(port);
    const named = { ...spec, role: `server-${port}` as const, name: `${this.#options.id}-${port}`, logFiles };
    return new EngineProcess(this.#fleet, named, this.#options.signal);
  }

  reserveGpus(requirements: GpuRequirements): Promise<readonly ReservedGpu[]> {
    return this.#fleet.reserveGpus(requirements);
  }

  close(): Promise<ReleaseReport> {
    return this.#fleet.release();
  }

  /** Emptied for a port's first server of the run, continued by its later ones. */
  #logFiles(port: number): LogFiles {
    const directory = this.#options.logDirectory ?? '/tmp';
    const files = {
      stdout: path.join(directory, `${port}-stdout.log`),
      stderr: path.join(directory, `${port}-stderr.log`),
    };
    for (const file of Object.values(files)) {
      if (this.#begun.has(file)) continue;
      this.#begun.add(file);
      makeFolder(directory);
      // Names in /tmp are easy to guess: a link that somebody has laid there is not followed.
      const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
      closeSync(openSync(file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o644));
    }
    return files;
  }
}

/** A name for a run that no other process of this machine gives at the same time: `experiments_20261122_103000_4711`. */
export function runId(kind: string, at = new Date()): string {
  const stamp = at.toISOString().replace(/[-:]/g, '').replace('T', '_').slice(0, 15);
  return `${kind}_${stamp}_${identifySelf().pid}`;
}

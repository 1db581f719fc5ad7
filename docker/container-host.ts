import type { Writable } from 'node:stream';
import type { CreateRequest } from './create-request.js';

/** What the daemon says about itself. */
export interface HostInfo {
  readonly serverVersion: string;
  readonly apiVersion: string;
  /** Names of the OCI runtimes, e.g. `runc`, `nvidia`. */
  readonly runtimes: readonly string[];
  /** It runs in a user's own namespaces: `--network host` then is that namespace's network, not the machine's. */
  readonly rootless: boolean;
  /** True when the daemon has BuildKit built in (18.09 and newer; not a promise that buildx is there). */
  readonly buildKit: boolean;
  /** Where images and containers lie on the daemon's machine. */
  readonly rootDirectory: string;
  readonly operatingSystem: string;
  readonly architecture: string;
}

export interface ImageInfo {
  /** `sha256:...` */
  readonly id: string;
  readonly tags: readonly string[];
  /** ISO 8601. */
  readonly createdAt: string;
  readonly sizeBytes: number;
}

export interface ContainerSummary {
  readonly id: string;
  /** Without the leading slash. */
  readonly name: string;
  readonly image: string;
  /** `created`, `running`, `exited`, `dead`, ... */
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
  /** ISO 8601. */
  readonly createdAt: string;
}

/** A container's state as `docker inspect` shows it. */
export interface ContainerState {
  readonly id: string;
  readonly name: string;
  /** As it was asked for, and what that came to. */
  readonly image: { readonly name: string; readonly id: string };
  readonly status: string;
  readonly running: boolean;
  /** Of its first process, on the daemon's machine; 0 when it does not run. */
  readonly pid: number;
  readonly exitCode: number;
  /** True also when only a child was killed and the container itself ended otherwise. */
  readonly oomKilled: boolean;
  /** The daemon's own complaint, e.g. why it could not start. */
  readonly error: string;
  /** ISO 8601, or null while it runs. */
  readonly finishedAt: string | null;
}

export interface PullProgress {
  /** Layer id, or the image. */
  readonly id: string;
  readonly status: string;
  readonly currentBytes: number | null;
  readonly totalBytes: number | null;
}

export interface SessionBuildOptions {
  readonly dockerfile: string;
  readonly tag: string;
  readonly target: string | null;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * A container engine behind the few operations this project needs; the implementation is the only one that
 * knows dockerode. Every method rejects with a DockerError and nothing else, unless it says so; every method is bounded in time.
 */
export interface ContainerHost {
  /** How the daemon is reached, for messages: `unix:///var/run/docker.sock`. */
  readonly address: string;
  ping(signal?: AbortSignal): Promise<void>;
  info(signal?: AbortSignal): Promise<HostInfo>;
  /** null when the image is not on the daemon's machine. */
  findImage(reference: string): Promise<ImageInfo | null>;
  /** Resolves when the image is there; kind `image-missing` when no registry gives it. */
  pullImage(
    reference: string,
    options: { readonly signal: AbortSignal; readonly timeoutMs: number; onProgress?(progress: PullProgress): void },
  ): Promise<void>;
  /** Refused by the daemon while a container uses it. */
  removeImage(reference: string): Promise<void>;
  /** Tagged images that carry this label, `name=value`. */
  listImages(label: string): Promise<readonly ImageInfo[]>;
  /**
   * Starts a BuildKit build from a tar stream of the context. The answer's lines are JSON; a build that fails
   * still answers 200. `close` must be called when done with it.
   */
  buildWithSession(
    context: NodeJS.ReadableStream,
    options: SessionBuildOptions,
  ): Promise<{ readonly lines: AsyncIterable<string>; close(): void }>;
  createContainer(request: CreateRequest): Promise<string>;
  startContainer(id: string): Promise<void>;
  /** Resolves with the exit code when the container stops running; long-lived, ends with the signal. */
  waitForExit(id: string, signal: AbortSignal): Promise<number>;
  /** null when there is no such container. */
  inspectContainer(id: string): Promise<ContainerState | null>;
  /** False when it was not running or not there. */
  killContainer(id: string, signalName: 'SIGTERM' | 'SIGKILL'): Promise<boolean>;
  /**
   * Kills it if it runs, removes it and its anonymous volumes, and ends what the daemon had forgotten of it.
   * @param id the whole id
   * @returns `existed` false when it was not there; `forced` when something had to be killed that the daemon did not know
   * @throws SurvivorError when that could not be ended
   */
  removeContainer(id: string): Promise<{ readonly existed: boolean; readonly forced: boolean }>;
  listContainers(labels: readonly string[]): Promise<readonly ContainerSummary[]>;
  /**
   * Resolves once all that the container will print goes to the sinks, demultiplexed: to be called before it is
   * started. `ended` resolves when both streams have closed, which can be a moment after the exit.
   */
  attachOutput(
    id: string,
    sinks: { readonly stdout: Writable; readonly stderr: Writable },
    signal: AbortSignal,
  ): Promise<{ readonly ended: Promise<void> }>;
}

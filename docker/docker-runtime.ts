import { setTimeout as delay } from 'node:timers/promises';
import { EngineStartError, SurvivorError } from '../engines/errors.js';
import type { LaunchSpec } from '../engines/launch-spec.js';
import type { EngineRuntime, StartedEngine } from '../engines/runtime.js';
import { makeFolder } from '../results-schema/make-folder.js';
import { containerExit } from './container-exit.js';
import type { ContainerHost } from './container-host.js';
import { ContainerLog } from './container-log.js';
import { createRequest } from './create-request.js';
import { DockerError, failureCauseOf } from './errors.js';
import { describeHolder } from './labelled-containers.js';

/** Output that arrives after the container has ended is waited for this long. */
const logDrainMs = 5_000;
/** After SIGKILL the kernel may still have tens of GB of host memory to give back. */
const killLimitMs = 30_000;

/** Engines as containers of one Docker daemon. */
export class DockerRuntime implements EngineRuntime {
  readonly kind = 'docker';
  readonly #host: ContainerHost;

  constructor(host: ContainerHost) {
    this.#host = host;
  }

  /** @throws EngineStartError when it is not known where the daemon is. */
  static open(openHost: () => ContainerHost): DockerRuntime {
    try {
      return new DockerRuntime(openHost());
    } catch (error) {
      throw startError(error, null);
    }
  }

  async start(spec: LaunchSpec, logPath: string, labels: Readonly<Record<string, string>>): Promise<StartedEngine> {
    const log = await ContainerLog.open(spec, logPath);
    const following = new AbortController();
    let id: string | null = null;
    let endLog = (): Promise<void> => log.close();
    try {
      const request = createRequest(spec, labels);
      // The daemon would make a missing directory as root; ours belongs to the user. A remote daemon makes its own.
      for (const { source } of spec.container.mounts) makeOurs(source);
      id = await this.#host.createContainer(request);
      const { ended } = await this.#host.attachOutput(id, log, following.signal);
      endLog = endOfLog(log, ended, following);
      await this.#host.startContainer(id);
      return new StartedContainer(this.#host, id, spec.name, endLog);
    } catch (error) {
      // A container that could not start stays behind as `created`. Its removal must not hide why.
      if (id !== null) await this.#host.removeContainer(id).catch(() => {});
      log.note(`${spec.name} did not start: ${messageOf(error)}`);
      following.abort();
      await endLog();
      throw startError(error, spec);
    }
  }
}

/** Waits for what the container still has to say, but not for ever, then closes its log. Never rejects. */
function endOfLog(log: ContainerLog, ended: Promise<void>, following: AbortController): () => Promise<void> {
  const settled = ended.catch((error: unknown) => {
    if (!following.signal.aborted) log.note(`the output ends here: ${messageOf(error)}`);
  });
  return async () => {
    const limit = setTimeout(() => following.abort(), logDrainMs);
    await settled;
    clearTimeout(limit);
    await log.close();
  };
}

class StartedContainer implements StartedEngine {
  readonly handle: StartedEngine['handle'];
  readonly exited: StartedEngine['exited'];
  readonly #host: ContainerHost;
  readonly #id: string;
  readonly #watching = new AbortController();
  #stopped: Promise<{ readonly forced: boolean }> | null = null;

  constructor(host: ContainerHost, id: string, name: string, endLog: () => Promise<void>) {
    this.#host = host;
    this.#id = id;
    this.handle = { kind: 'container', id, name };
    this.exited = containerExit(host, id, this.#watching.signal).then(async (exit) => {
      await endLog();
      return exit;
    });
  }

  stop(graceMs: number, hurry?: AbortSignal): Promise<{ readonly forced: boolean }> {
    this.#stopped ??= this.#stop(graceMs, hurry);
    return this.#stopped;
  }

  async #stop(graceMs: number, hurry: AbortSignal | undefined): Promise<{ readonly forced: boolean }> {
    let forced = false;
    try {
      if (await this.#host.killContainer(this.#id, 'SIGTERM')) {
        if (!(await this.#endsWithin(graceMs, hurry))) {
          forced = await this.#host.killContainer(this.#id, 'SIGKILL');
          await this.#endsWithin(killLimitMs, hurry);
        }
      }
      // The last lines of the log go with the container.
      await this.#endsWithin(logDrainMs, hurry);
      const removal = await this.#host.removeContainer(this.#id);
      forced ||= removal.forced;
    } catch (error) {
      if (error instanceof SurvivorError) throw error;
      throw new Error(`${messageOf(error)}${await describeHolder(this.#host, this.#id)}`, { cause: error });
    } finally {
      this.#watching.abort();
    }
    await this.exited;
    return { forced };
  }

  async #endsWithin(limitMs: number, hurry?: AbortSignal): Promise<boolean> {
    const timer = new AbortController();
    const signal = hurry === undefined ? timer.signal : AbortSignal.any([timer.signal, hurry]);
    const ended = await Promise.race([
      this.exited.then(() => true),
      delay(limitMs, false, { signal }).catch(() => false),
    ]);
    timer.abort();
    return ended;
  }
}

/** Where that cannot be, the daemon says what is wrong with the mount. */
function makeOurs(source: string): void {
  try {
    makeFolder(source);
  } catch {
    // Said above.
  }
}

function startError(error: unknown, spec: LaunchSpec | null): unknown {
  if (!(error instanceof DockerError)) return error;
  return new EngineStartError(error.message, {
    failureCause: failureCauseOf[error.kind],
    reason: error.kind === 'bad-mount' ? 'configuration' : 'infrastructure',
    evidence: spec === null ? [] : [`container ${spec.name}, image ${spec.container.image}: ${error.detail}`],
    cause: error,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

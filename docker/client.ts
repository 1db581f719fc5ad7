import type { Agent } from 'node:http';
import { Readable, type Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import Docker from 'dockerode';
import { z } from 'zod';
import { untilAborted } from '../engines/until-aborted.js';
import { linesOf } from './answer-stream.js';
import type {
  ContainerHost,
  ContainerState,
  ContainerSummary,
  HostInfo,
  ImageInfo,
  PullProgress,
  SessionBuildOptions,
} from './container-host.js';
import type { CreateRequest } from './create-request.js';
import { daemonAddress } from './daemon-address.js';
import { dockerErrorFrom } from './error-normaliser.js';
import { DockerError, type DockerErrorKind } from './errors.js';
import { endForgottenTask } from './forgotten-task.js';
import { trackConnections } from './tracked-connections.js';

const pingLimitMs = 5_000;
/** A question without work behind it. */
const questionLimitMs = 20_000;
const callLimitMs = 30_000;
/** Creating and starting copies no data, but a busy disk or a GPU runtime's hooks can take long. */
const startLimitMs = 120_000;

/**
 * The daemon that Docker's own command line would ask, not yet spoken to: `ping` does that.
 * @param options.socketPath another Unix socket; for tests.
 * @throws DockerError when DOCKER_HOST or the Docker context names none
 */
export function openContainerHost(options: { readonly socketPath?: string } = {}): ContainerHost {
  return new DockerodeHost(options.socketPath === undefined ? daemonAddress() : `unix://${options.socketPath}`);
}

/** What dockerode needs to know of an address; DOCKER_HOST, with what belongs to it (certificates, ssh), it reads itself. */
function connectionTo(
  address: string,
): { socketPath: string } | { host: string; port: string; protocol: 'http' } | null {
  if (address.startsWith('unix:///')) return { socketPath: address.slice('unix://'.length) };
  if (address === process.env['DOCKER_HOST']) return null;
  const { protocol, hostname, port } = new URL(address);
  if (protocol !== 'tcp:' || port === '2376')
    throw new Error('only plain sockets and addresses are read from a context');
  return { host: hostname, port, protocol: 'http' };
}

const pullLineSchema = z.object({
  id: z.string().catch(''),
  status: z.string().catch(''),
  progressDetail: z
    .object({ current: z.number().optional(), total: z.number().optional() })
    .optional()
    .catch(undefined),
  error: z.string().optional(),
});

class DockerodeHost implements ContainerHost {
  readonly address: string;
  readonly #docker: Docker;
  /** For questions, whose calls dockerode cannot abort: the connection ends by itself. */
  readonly #brief: Docker;

  constructor(address: string) {
    this.address = address;
    this.#docker = this.#connect({});
    this.#brief = this.#connect({ timeout: questionLimitMs });
  }

  #connect(options: { readonly agent?: Agent; readonly timeout?: number }): Docker {
    try {
      return new Docker({ ...connectionTo(this.address), ...options });
    } catch (error) {
      throw new DockerError(
        'daemon-unreachable',
        `"${this.address}" is no address of a Docker daemon that can be asked: set DOCKER_HOST to unix:///path/to/docker.sock, tcp://host:port or ssh://user@host.`,
        { cause: error },
      );
    }
  }

  /** One call: bounded in time, its error in our terms. */
  async #call<Answer>(
    action: string,
    limitMs: number,
    signal: AbortSignal | undefined,
    call: (abortSignal: AbortSignal) => Promise<Answer>,
  ): Promise<Answer> {
    const limit = AbortSignal.timeout(limitMs);
    const either = signal === undefined ? limit : AbortSignal.any([signal, limit]);
    try {
      return await untilAborted(call(either), either);
    } catch (error) {
      if (limit.aborted && signal?.aborted !== true) {
        throw new DockerError(
          'timeout',
          `Docker at "${this.address}" could not ${action} within ${limitMs / 1000} s. \`docker info\` and the daemon's log (\`journalctl -u docker\`) may say why.`,
          { cause: error },
        );
      }
      throw dockerErrorFrom(error, action, this.address);
    }
  }

  async ping(signal?: AbortSignal): Promise<void> {
    const docker = this.#connect({ timeout: pingLimitMs });
    await this.#call('answer', pingLimitMs, signal, () => docker.ping());
  }

  async info(signal?: AbortSignal): Promise<HostInfo> {
    return await this.#call('describe itself', questionLimitMs, signal, async () => {
      const [version, info] = await Promise.all([this.#brief.version(), this.#brief.info()]);
      const facts = infoSchema.parse(info);
      const { Version, ApiVersion } = versionSchema.parse(version);
      return {
        serverVersion: Version,
        apiVersion: ApiVersion,
        runtimes: Object.keys(facts.Runtimes),
        rootless: facts.SecurityOptions.some((option) => option.includes('name=rootless')),
        buildKit: Number(ApiVersion.split('.')[1] ?? 0) >= 39,
        rootDirectory: facts.DockerRootDir,
        operatingSystem: facts.OSType,
        architecture: facts.Architecture,
      };
    });
  }

  async findImage(reference: string): Promise<ImageInfo | null> {
    try {
      return await this.#call(`inspect image "${reference}"`, questionLimitMs, undefined, async () => {
        const image = await this.#brief.getImage(reference).inspect();
        return { id: image.Id, tags: image.RepoTags ?? [], createdAt: image.Created, sizeBytes: image.Size };
      });
    } catch (error) {
      if (error instanceof DockerError && error.statusCode === 404) return null;
      throw error;
    }
  }

  async pullImage(
    reference: string,
    options: { readonly signal: AbortSignal; readonly timeoutMs: number; onProgress?(progress: PullProgress): void },
  ): Promise<void> {
    const action = `pull image "${reference}"`;
    await this.#call(action, options.timeoutMs, options.signal, async (abortSignal) => {
      try {
        const stream = await this.#docker.pull(withTag(reference), { abortSignal });
        for await (const line of linesOf(stream, abortSignal)) {
          const { error, id, status, progressDetail } = pullLineSchema.parse(JSON.parse(line));
          if (error !== undefined) throw new Error(error);
          options.onProgress?.({
            id,
            status,
            currentBytes: progressDetail?.current ?? null,
            totalBytes: progressDetail?.total ?? null,
          });
        }
      } catch (error) {
        throw asPullError(dockerErrorFrom(error, action, this.address));
      }
    });
  }

  async removeImage(reference: string): Promise<void> {
    await this.#call(`remove image "${reference}"`, callLimitMs, undefined, (abortSignal) =>
      this.#docker.getImage(reference).remove({ abortSignal }),
    );
  }

  async listImages(label: string): Promise<readonly ImageInfo[]> {
    return await this.#call('list images', callLimitMs, undefined, async (abortSignal) => {
      const images = await this.#docker.listImages({ filters: { label: [label] }, abortSignal });
      return images.map((image) => ({
        id: image.Id,
        tags: (image.RepoTags ?? []).filter((tag) => tag !== '<none>:<none>'),
        createdAt: new Date(image.Created * 1000).toISOString(),
        sizeBytes: image.Size,
      }));
    });
  }

  async buildWithSession(
    context: NodeJS.ReadableStream,
    options: SessionBuildOptions,
  ): Promise<{ readonly lines: AsyncIterable<string>; close(): void }> {
    // dockerode ends its BuildKit session only after a complete answer; every other way out would leave
    // the session's connection open and keep this process alive. So the build gets connections of its own.
    const { modem } = this.#docker;
    const { agent, close } = trackConnections('protocol' in modem && modem.protocol === 'https' ? 'https' : 'http');
    try {
      const stream = await this.#connect({ agent }).buildImage(context, {
        version: '2',
        dockerfile: options.dockerfile,
        t: options.tag,
        buildargs: { ...options.buildArgs },
        ...(options.target === null ? {} : { target: options.target }),
        abortSignal: options.signal,
      });
      return { lines: linesOf(stream, options.signal), close };
    } catch (error) {
      close();
      throw dockerErrorFrom(error, `build image "${options.tag}"`, this.address);
    }
  }

  async createContainer(request: CreateRequest): Promise<string> {
    const action = `create container "${request.name}"`;
    return await this.#call(action, startLimitMs, undefined, async (abortSignal) => {
      const container = await this.#docker.createContainer({ ...request, abortSignal });
      return container.id;
    });
  }

  async startContainer(id: string): Promise<void> {
    await this.#call(`start container "${id}"`, startLimitMs, undefined, (abortSignal) =>
      this.#docker.getContainer(id).start({ abortSignal }),
    );
  }

  async waitForExit(id: string, signal: AbortSignal): Promise<number> {
    const action = `wait for container "${id}"`;
    try {
      // As a stream: dockerode's own call never settles when the daemon is killed after it has sent its headers.
      const answer = await this.#ask(`/containers/${encodeURIComponent(id)}/wait`, signal);
      const lines: string[] = [];
      for await (const line of linesOf(answer, signal)) lines.push(line);
      return waitSchema.parse(JSON.parse(lines.join('\n'))).StatusCode;
    } catch (error) {
      throw dockerErrorFrom(error, action, this.address);
    }
  }

  /** A POST whose answer is read as it comes. */
  #ask(path: string, abortSignal: AbortSignal): Promise<NodeJS.ReadableStream> {
    const statusCodes = { 200: true, 404: 'no such container', 500: 'server error' };
    return new Promise((resolve, reject) => {
      this.#docker.modem.dial({ path, method: 'POST', isStream: true, statusCodes, abortSignal }, (error, answer) => {
        if (error) reject(error);
        else if (answer instanceof Readable) resolve(answer);
        else reject(new TypeError(`the answer of ${path} is no stream`));
      });
    });
  }

  async inspectContainer(id: string): Promise<ContainerState | null> {
    try {
      return await this.#call(`inspect container "${id}"`, callLimitMs, undefined, async (abortSignal) => {
        const { Id, Name, Image, Config, State } = await this.#docker.getContainer(id).inspect({ abortSignal });
        return {
          id: Id,
          name: Name.replace(/^\//, ''),
          image: { name: Config.Image, id: Image },
          status: State.Status,
          running: State.Running,
          pid: State.Pid,
          exitCode: State.ExitCode,
          oomKilled: State.OOMKilled,
          error: State.Error,
          // The daemon writes year 1 for "not yet".
          finishedAt: State.Running || State.FinishedAt.startsWith('0001') ? null : State.FinishedAt,
        };
      });
    } catch (error) {
      if (isGone(error)) return null;
      throw error;
    }
  }

  async killContainer(id: string, signalName: 'SIGTERM' | 'SIGKILL'): Promise<boolean> {
    return await this.#unlessGone(`send ${signalName} to container "${id}"`, (abortSignal) =>
      this.#docker.getContainer(id).kill({ signal: signalName, abortSignal }),
    );
  }

  async removeContainer(id: string): Promise<{ readonly existed: boolean; readonly forced: boolean }> {
    const existed = await this.#unlessGone(`remove container "${id}"`, (abortSignal) =>
      this.#docker.getContainer(id).remove({ force: true, v: true, abortSignal }),
    );
    return { existed, ...(await endForgottenTask(id)) };
  }

  async #unlessGone(action: string, call: (abortSignal: AbortSignal) => Promise<unknown>): Promise<boolean> {
    try {
      await this.#call(action, callLimitMs, undefined, call);
      return true;
    } catch (error) {
      if (isGone(error) || (error instanceof DockerError && error.kind === 'already-done')) return false;
      throw error;
    }
  }

  async listContainers(labels: readonly string[]): Promise<readonly ContainerSummary[]> {
    return await this.#call('list containers', callLimitMs, undefined, async (abortSignal) => {
      const containers = await this.#docker.listContainers({ all: true, filters: { label: [...labels] }, abortSignal });
      return containers.map((container) => ({
        id: container.Id,
        name: (container.Names[0] ?? container.Id).replace(/^\//, ''),
        image: container.Image,
        state: container.State,
        labels: container.Labels,
        createdAt: new Date(container.Created * 1000).toISOString(),
      }));
    });
  }

  async attachOutput(
    id: string,
    sinks: { readonly stdout: Writable; readonly stderr: Writable },
    signal: AbortSignal,
  ): Promise<{ readonly ended: Promise<void> }> {
    const action = `attach to the output of container "${id}"`;
    try {
      // Not `logs?follow`: that loses the last lines of a container that ends while the daemon is busy (seen on
      // 20.10 in 4 of 10 runs), and those are the ones that tell why it ended.
      const stream = await this.#docker
        .getContainer(id)
        .attach({ stream: true, stdout: true, stderr: true, abortSignal: signal });
      this.#docker.modem.demuxStream(stream, sinks.stdout, sinks.stderr);
      const ended = finished(stream, { writable: false, signal }).catch((error: unknown) => {
        throw dockerErrorFrom(error, action, this.address);
      });
      return { ended };
    } catch (error) {
      throw dockerErrorFrom(error, action, this.address);
    }
  }
}

const infoSchema = z.object({
  Runtimes: z
    .record(z.string(), z.unknown())
    .nullish()
    .transform((runtimes) => runtimes ?? {}),
  SecurityOptions: z.array(z.string()).catch([]),
  DockerRootDir: z.string().catch(''),
  OSType: z.string().catch(''),
  Architecture: z.string().catch(''),
});
const versionSchema = z.object({ Version: z.string(), ApiVersion: z.string() });
const waitSchema = z.object({ StatusCode: z.number() });

function isGone(error: unknown): boolean {
  return error instanceof DockerError && error.kind === 'container-missing';
}

const ownStates: ReadonlySet<DockerErrorKind> = new Set([
  'daemon-unreachable',
  'permission-denied',
  'out-of-space',
  'out-of-memory',
  'timeout',
  'aborted',
  'image-missing',
]);

/** A pull that fails for any reason but the daemon's own state means: the image cannot be had. */
function asPullError(error: DockerError): DockerError {
  if (ownStates.has(error.kind)) return error;
  return new DockerError('image-missing', error.message, {
    statusCode: error.statusCode,
    detail: error.detail,
    cause: error.cause,
  });
}

/** Without a tag or digest the API would pull every tag there is. */
function withTag(reference: string): string {
  return /[:@][^/]*$/.test(reference) ? reference : `${reference}:latest`;
}

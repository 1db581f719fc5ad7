import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { packBuildContext } from './build-context.js';
import { type BuildMessage, parseDaemonLine } from './build-messages.js';
import { type BuildEvent, BuildProgress } from './build-progress.js';
import { findBuildx, type RunProgram, runBuildx } from './buildx.js';
import type { ContainerHost } from './container-host.js';
import { kindOfDaemonMessage } from './error-normaliser.js';
import { DockerError } from './errors.js';

export interface BuildRequest {
  readonly contextDirectory: string;
  /** Relative to the context. */
  readonly dockerfile: string;
  readonly tag: string;
  /** null builds the last stage. */
  readonly target: string | null;
  readonly buildArgs: Readonly<Record<string, string>>;
}

export interface BuildOptions {
  readonly signal: AbortSignal;
  /** How `docker buildx build` is run. */
  readonly execute: RunProgram;
  readonly timeoutMs: number;
  /** How often the daemon is asked whether it still lives; 10 s unless told. */
  readonly pingEveryMs?: number;
  onEvent?(event: BuildEvent): void;
}

export type BuildFailureKind =
  /** A step or the Dockerfile itself failed. */
  | 'build-failed'
  /** A base image is neither local nor can it be pulled. */
  | 'image-missing'
  | 'daemon-unreachable'
  | 'permission-denied'
  | 'out-of-space'
  /** A file of the context, or the Dockerfile, cannot be read. */
  | 'context-unreadable'
  | 'timeout'
  | 'aborted'
  /** The build reported success, and the tag is not on what it built. */
  | 'not-tagged';

export interface BuildFailure {
  readonly kind: BuildFailureKind;
  readonly message: string;
  /** `[2/5] RUN ...`; null when it failed outside of any step. */
  readonly step: string | null;
  /** The failing step's last output lines. */
  readonly lastLines: readonly string[];
}

/** Which way the build went. */
type Builder = { readonly kind: 'buildx'; readonly version: string } | { readonly kind: 'session' };

export type BuildOutcome =
  | { readonly status: 'built'; readonly imageId: string; readonly builder: Builder }
  | { readonly status: 'failed'; readonly failure: BuildFailure; readonly builder: Builder };

const defaultPingEveryMs = 10_000;
const pingsUntilLost = 3;

/**
 * Builds and tags an image with BuildKit: by `docker buildx build` where the plugin is installed, else through a
 * BuildKit session of the Docker API. Ends within `timeoutMs`, at once with the signal, and within a minute when
 * the daemon stops answering. Success means that the tag was seen on the image this build made.
 */
export async function buildImage(
  host: ContainerHost,
  request: BuildRequest,
  options: BuildOptions,
): Promise<BuildOutcome> {
  const version = await findBuildx(host.address);
  const builder: Builder = version === null ? { kind: 'session' } : { kind: 'buildx', version };
  const failed = (failure: BuildFailure): BuildOutcome => ({ status: 'failed', failure, builder });

  const progress = new BuildProgress(options.onEvent ?? (() => {}));
  const plainLines: string[] = [];
  let reported: string | null = null;
  const take = (message: BuildMessage): void => {
    if (message.kind === 'status') progress.add(message.status);
    else if (message.kind === 'image-id') progress.addImageId(message.id);
    else if (message.kind === 'error') reported ??= message.message;
    else plainLines.push(message.text);
  };

  const finished = new AbortController();
  const limit = AbortSignal.timeout(options.timeoutMs);
  const daemonLost = watchDaemon(host, options.pingEveryMs ?? defaultPingEveryMs, finished.signal);
  const signal = AbortSignal.any([options.signal, limit, daemonLost]);
  try {
    const run = builder.kind === 'buildx' ? runThroughBuildx(options.execute) : runThroughSession;
    const ended = await run(host, request, signal, take);
    if (ended !== null) reported ??= ended;
  } catch (error) {
    // The reason of the abort came first; what the build said while it was torn down did not.
    if (!signal.aborted) return failed(thrownFailure(error, progress));
  } finally {
    finished.abort();
  }
  if (signal.aborted) return failed(abortFailure(request, options, limit.aborted, daemonLost.aborted, progress));
  if (reported !== null) return failed(reportedFailure(reported, progress, plainLines));

  const image = await host.findImage(request.tag).catch(() => null);
  if (image !== null && progress.imageIds.has(image.id)) return { status: 'built', imageId: image.id, builder };
  return failed({
    kind: 'not-tagged',
    message:
      image === null
        ? `The build ended without an error, but there is no image "${request.tag}".`
        : `The build ended without an error, but "${request.tag}" is another image (${image.id}): another build may have taken the tag.`,
    step: null,
    lastLines: plainLines.slice(-20),
  });
}

/** Resolves with the reported error, or null. */
type Run = (
  host: ContainerHost,
  request: BuildRequest,
  signal: AbortSignal,
  take: (message: BuildMessage) => void,
) => Promise<string | null>;

const runThroughBuildx =
  (execute: RunProgram): Run =>
  async (host, request, signal, take) => {
    const contextDirectory = path.resolve(request.contextDirectory);
    const exitCode = await runBuildx(
      { ...request, contextDirectory, dockerfile: path.join(contextDirectory, request.dockerfile) },
      host.address,
      { execute, signal },
      take,
    );
    return exitCode === 0 ? null : `docker buildx build ended with exit code ${exitCode ?? 'none (killed)'}`;
  };

class ContextError extends Error {}

const runThroughSession: Run = async (host, request, signal, take) => {
  const context = await packBuildContext(request.contextDirectory, request.dockerfile).catch((error: unknown) => {
    throw contextError(request, error);
  });
  let unreadable: unknown = null;
  context.once('error', (error: unknown) => {
    unreadable = error;
  });
  try {
    const answer = await host.buildWithSession(context, { ...request, signal });
    try {
      for await (const line of answer.lines) take(parseDaemonLine(line));
    } finally {
      answer.close();
    }
    return null;
  } catch (error) {
    throw unreadable === null ? error : contextError(request, unreadable);
  }
};

function contextError(request: BuildRequest, error: unknown): ContextError {
  return new ContextError(
    `The build context "${request.contextDirectory}" cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    { cause: error },
  );
}

/** Aborted when the daemon has not answered several pings in a row. */
function watchDaemon(host: ContainerHost, pingEveryMs: number, until: AbortSignal): AbortSignal {
  const lost = new AbortController();
  const watch = async (): Promise<void> => {
    let misses = 0;
    while (misses < pingsUntilLost) {
      await delay(pingEveryMs, undefined, { signal: until });
      misses = await host.ping(until).then(
        () => 0,
        () => misses + 1,
      );
    }
    if (!until.aborted) lost.abort();
  };
  // Ends with an abort when the build does.
  watch().catch(() => {});
  return lost.signal;
}

function thrownFailure(error: unknown, progress: BuildProgress): BuildFailure {
  const step = progress.failedStep;
  const place = { step: step?.step ?? null, lastLines: step?.lastLines ?? [] };
  if (error instanceof ContextError) return { kind: 'context-unreadable', message: error.message, ...place };
  if (error instanceof DockerError) {
    const kinds = ['daemon-unreachable', 'permission-denied', 'out-of-space', 'image-missing', 'timeout'] as const;
    return { kind: kinds.find((kind) => kind === error.kind) ?? 'build-failed', message: error.message, ...place };
  }
  // The connection broke in the middle of the answer.
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'daemon-unreachable', message: `The Docker daemon broke the build off: ${message}`, ...place };
}

function abortFailure(
  request: BuildRequest,
  options: BuildOptions,
  timedOut: boolean,
  daemonLost: boolean,
  progress: BuildProgress,
): BuildFailure {
  const place = { step: progress.currentStep, lastLines: progress.lastLines };
  if (options.signal.aborted)
    return { kind: 'aborted', message: `The build of "${request.tag}" was stopped.`, ...place };
  const during = place.step === null ? '' : ` during "${place.step}"`;
  if (daemonLost) {
    return { kind: 'daemon-unreachable', message: `The Docker daemon stopped answering${during}.`, ...place };
  }
  const limit = timedOut ? ` within ${options.timeoutMs / 1000} s` : '';
  return { kind: 'timeout', message: `The build of "${request.tag}" did not end${limit}${during}.`, ...place };
}

function reportedFailure(message: string, progress: BuildProgress, plainLines: readonly string[]): BuildFailure {
  const failed = progress.failedStep;
  const step = failed?.step ?? null;
  const lastLines = failed === null ? plainLines.slice(-20) : failed.lastLines;
  const kind = kindOfDaemonMessage(message, null);
  if (kind === 'out-of-space' || kind === 'daemon-unreachable' || kind === 'permission-denied') {
    return { kind, message, step, lastLines };
  }
  const baseImage = step === null ? null : /^\[internal\] load metadata for (.+)$/.exec(step)?.[1];
  if (baseImage) {
    return {
      kind: 'image-missing',
      message: `The base image "${baseImage}" is neither on this machine nor can it be pulled: ${message}`,
      step,
      lastLines,
    };
  }
  return { kind: 'build-failed', message, step, lastLines };
}

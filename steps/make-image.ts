import { createWriteStream } from 'node:fs';
import path from 'node:path';
import { finished } from 'node:stream/promises';
import type { BuildEvent } from '../docker/build-progress.js';
import type { ContainerHost, PullProgress } from '../docker/container-host.js';
import { type BuildRequest, buildImage } from '../docker/image-build.js';
import { makeFolder } from '../results-schema/make-folder.js';
import { secrets } from '../results-schema/secrets.js';
import type { StepResult } from '../results-schema/step-result.js';
import { assembleContext, type ImageContent } from '../simulator/image/image-context.js';
import type { BuildImageSettings } from './build-image.js';
import { buildFailure } from './docker-failure.js';
import type { StepContext } from './step.js';

type Context = StepContext<BuildImageSettings>;

/** The time-out of the original suite's CI step. */
const buildLimitMs = 60 * 60_000;
const pullLimitMs = 60 * 60_000;
/** Long enough that no run can be between building its image and launching it. */
const simulatorImageLifeMs = 24 * 60 * 60_000;
const simulatorLabel = 'ci.lmcache.simulator=true';

/** IMAGE as it is, pulled when it is not here. @throws DockerError when it cannot be pulled. */
export async function pullIfMissing(context: Context, host: ContainerHost, reference: string): Promise<StepResult> {
  const { progress, signal } = context;
  if ((await host.findImage(reference)) !== null) return passed(`IMAGE "${reference}" is here; nothing was built.`);
  progress.log(`IMAGE "${reference}" is not on this machine: pulling it`);
  const layers = new Map<string, PullProgress>();
  return await asBuild(context, reference, async () => {
    await host.pullImage(reference, {
      signal,
      timeoutMs: pullLimitMs,
      onProgress: (layer) => {
        if (layer.totalBytes === null) return;
        layers.set(layer.id, layer);
        const all = [...layers.values()];
        progress.update({
          task: `pulling ${reference}: ${layer.status}`,
          done: all.reduce((sum, { currentBytes }) => sum + (currentBytes ?? 0), 0),
          total: all.reduce((sum, { totalBytes }) => sum + (totalBytes ?? 0), 0),
        });
      },
    });
    return passed(`IMAGE "${reference}" was pulled; nothing was built.`);
  });
}

/** The simulator's image, unless one of the same content is here. */
export async function buildSimulator(
  context: Context,
  host: ContainerHost,
  content: ImageContent,
): Promise<StepResult> {
  if ((await host.findImage(content.reference)) !== null) {
    return passed(`The simulator's image "${content.reference}" is up to date.`);
  }
  return await asBuild(context, content.reference, async () => {
    const assembled = await assembleContext(content, await context.temporaryDirectory('simulator-image'));
    try {
      const result = await build(context, host, {
        contextDirectory: assembled.directory,
        dockerfile: 'Dockerfile',
        tag: content.reference,
        target: null,
        buildArgs: assembled.buildArgs,
      });
      const builtElsewhere = result.outcome === 'failed' && (await host.findImage(content.reference)) !== null;
      return builtElsewhere ? passed(`"${content.reference}" was built by another run meanwhile.`) : result;
    } finally {
      await assembled.remove();
      await removeOldSimulators(host);
    }
  });
}

/** LMCache's own Dockerfile, with the arguments of the original suite. */
export async function buildLmcache(
  context: Context,
  host: ContainerHost,
  reference: string,
  checkout: string,
): Promise<StepResult> {
  const { CUDA_VERSION, UBUNTU_VERSION, VLLM_VERSION } = context.settings;
  context.progress.log(`building "${reference}" from "${checkout}"`);
  const request = {
    contextDirectory: checkout,
    dockerfile: path.join('docker', 'Dockerfile'),
    tag: reference,
    target: 'image-build',
    buildArgs: { CUDA_VERSION, UBUNTU_VERSION, VLLM_VERSION },
  };
  return await asBuild(context, reference, () => build(context, host, request));
}

/** Notes the work's start and end: an image's making is not the orchestrator's own time. */
async function asBuild(context: Context, image: string, work: () => Promise<StepResult>): Promise<StepResult> {
  context.emit({ type: 'build-started', image });
  let ok = false;
  try {
    const result = await work();
    ok = result.outcome === 'passed';
    return result;
  } finally {
    context.emit({ type: 'build-finished', image, ok });
  }
}

async function build(context: Context, host: ContainerHost, request: BuildRequest): Promise<StepResult> {
  const logPath = context.results.path('logs', 'build-image.log');
  makeFolder(path.dirname(logPath));
  const log = createWriteStream(logPath);
  // The build matters more than its log.
  log.on('error', (error) => context.progress.warn(`"${logPath}" cannot be written: ${error.message}`));
  try {
    const outcome = await buildImage(host, request, {
      signal: context.signal,
      execute: context.execute,
      timeoutMs: buildLimitMs,
      onEvent: (event) => {
        if (event.kind !== 'transfer' && log.writable) log.write(secrets.hide(`${eventLine(event)}\n`));
        show(context, event);
      },
    });
    if (outcome.status === 'failed') return buildFailure(outcome.failure, request.tag, logPath);
    const how = outcome.builder.kind === 'buildx' ? `buildx ${outcome.builder.version}` : "the Docker API's BuildKit";
    return passed(`"${request.tag}" was built by ${how}.`);
  } finally {
    await finished(log.end()).catch(() => {});
  }
}

function show(context: Context, event: BuildEvent): void {
  // Docker's own steps, such as loading the context, have no number.
  const numbered = /^\[[^\]]*\d+\/\d+\]/.test(event.step);
  if (event.kind === 'step-started') {
    context.progress.update({ task: event.step });
    if (numbered) context.progress.log(event.step);
  } else if (event.kind === 'log') {
    context.progress.update({ task: event.step, figures: event.line.slice(0, 100) });
  } else if (event.kind === 'transfer' && event.total > 0) {
    context.progress.update({ task: `${event.step}: ${event.what}`, done: event.current, total: event.total });
  }
}

function eventLine(event: Exclude<BuildEvent, { kind: 'transfer' }>): string {
  switch (event.kind) {
    case 'step-started':
      return `${event.step}`;
    case 'step-finished':
      return `${event.step}: ${event.cached ? 'CACHED' : 'DONE'}`;
    case 'step-failed':
      return `${event.step}: ERROR: ${event.message}`;
    case 'log':
      return `  ${event.line}`;
  }
}

/** Every change of the simulator makes an image of its own; those of other days go, unless a container uses them. */
async function removeOldSimulators(host: ContainerHost): Promise<void> {
  const images = await host.listImages(simulatorLabel).catch(() => []);
  const old = images.filter(({ createdAt }) => Date.now() - Date.parse(createdAt) > simulatorImageLifeMs);
  for (const tag of old.flatMap(({ tags }) => tags)) await host.removeImage(tag).catch(() => {});
}

function passed(message: string): StepResult {
  return { outcome: 'passed', verdicts: [], message };
}

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { RunProgram } from '../../docker/buildx.js';
import { openContainerHost } from '../../docker/client.js';
import type { ContainerHost } from '../../docker/container-host.js';
import { buildImage } from '../../docker/image-build.js';
import { listByLabel } from '../../docker/labelled-containers.js';
import type { LaunchSpec } from '../../engines/launch-spec.js';
import { executeOwned } from '../../pipeline/execute.js';
import { assembleContext, imageContent } from '../../simulator/image/image-context.js';
import { simulatorPackage } from '../docker/simulator-package.js';

/** Runs `docker buildx`, where it is there. */
export const execute: RunProgram = (command, options) => executeOwned(command, { ...options, owner: null });

/** What one test file has of the daemon: an image with nothing but node, names and labels nobody else uses. */
export interface DockerBench {
  readonly host: ContainerHost;
  /** Of the base image; known once the tests run. */
  readonly image: string;
  /** A temporary directory of this file. */
  readonly directory: string;
  readonly labels: Readonly<Record<string, string>>;
  name(stem: string): string;
  /** An engine that is a node script. */
  spec(stem: string, script: string): LaunchSpec;
}

/** Sets the current test file up, and asserts after each test that its containers are gone or removes them. */
export function dockerBench(): DockerBench {
  const id = randomBytes(6).toString('hex');
  const host = openContainerHost();
  const labels = { 'ci.lmcache.test': id };
  const state = { image: '', directory: '' };

  beforeAll(async () => {
    await host.ping();
    state.directory = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-docker-e2e-'));
    const source = await simulatorPackage();
    const content = await imageContent(source.root);
    const context = await assembleContext(content);
    try {
      state.image = `lmcache-ci/test-base:${id}`;
      const outcome = await buildImage(
        host,
        {
          contextDirectory: context.directory,
          dockerfile: 'Dockerfile',
          tag: state.image,
          target: null,
          buildArgs: context.buildArgs,
        },
        { signal: AbortSignal.timeout(120_000), execute, timeoutMs: 120_000 },
      );
      expect(outcome).toMatchObject({ status: 'built' });
    } finally {
      await context.remove();
      await source.remove();
    }
  });
  afterEach(async () => {
    const left = await listByLabel(host, labels);
    await Promise.all(left.map((container) => host.removeContainer(container.id)));
  });
  afterAll(async () => {
    if (state.image !== '') await host.removeImage(state.image);
    await rm(state.directory, { recursive: true, force: true });
  });

  const name = (stem: string): string => `lmcache-ci-test-${id}-${stem}`;
  return {
    host,
    labels,
    name,
    get image() {
      return state.image;
    },
    get directory() {
      return state.directory;
    },
    spec: (stem, script) => ({
      role: 'vllm',
      name: name(stem),
      program: 'vllm-serve',
      args: ['-e', script],
      environment: {},
      container: { image: state.image, entrypoint: ['/usr/local/bin/node'], mounts: [], gpu: null },
      command: [],
      ports: [],
      healthUrl: null,
    }),
  };
}

/** A build context with these files. */
export async function writeContext(directory: string, files: Readonly<Record<string, string>>): Promise<string> {
  const context = await mkdtemp(path.join(directory, 'context-'));
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(context, name), text);
  return context;
}

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { openContainerHost } from '../../docker/client.js';
import type { ContainerHost } from '../../docker/container-host.js';
import { DockerRuntime } from '../../docker/docker-runtime.js';
import { DockerError } from '../../docker/errors.js';
import { EngineStartError } from '../../engines/errors.js';
import type { StepResult } from '../../results-schema/step-result.js';
import { type BuildImageSettings, provideImage, step } from '../../steps/build-image.js';
import { resolveImage } from '../../steps/resolve-image.js';
import { StepFailure } from '../../steps/step-failure.js';
import { fakeHost, imageInfo } from '../docker/fake-host.js';
import { simulatorPackage } from '../docker/simulator-package.js';
import { stubProgram } from '../docker/stub-program.js';
import { type FakeContext, fakeContext, settingsFor } from './fake-context.js';

const builtId = `sha256:${'0'.repeat(64)}`;
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-build-step-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
});

async function contextOf(
  settings: Partial<BuildImageSettings>,
  run: { engine?: 'vllm' | 'sim'; runtime?: 'docker' | 'process' | 'external'; workspace?: string } = {},
): Promise<FakeContext<BuildImageSettings>> {
  const context = await fakeContext({ settings: settingsFor(step, settings), urls: {} });
  onTestFinished(context.dispose);
  return { ...context, run: { ...context.run, engine: 'vllm', runtime: 'docker', ...run } };
}

async function provide(context: FakeContext<BuildImageSettings>, host: Partial<ContainerHost>): Promise<StepResult> {
  return await provideImage(context, () => fakeHost({ ping: async () => {}, ...host }));
}

/** A docker command without the plugin: the session of the API builds. */
const noBuildx = (): Promise<string> => stubProgram('docker', 'process.exit(1)');

/** A checkout as far as the step looks at it. */
async function checkout(): Promise<string> {
  await mkdir(path.join(directory, 'docker'));
  await mkdir(path.join(directory, 'lmcache'));
  await writeFile(path.join(directory, 'docker', 'Dockerfile'), 'FROM scratch AS image-build\n');
  return directory;
}

/** A session build that succeeds, or ends with an error. */
function building(calls: unknown[], error: string | null = null): Partial<ContainerHost> {
  return {
    findImage: async () => imageInfo(builtId),
    listImages: async () => [],
    buildWithSession: async (context, { signal: _, ...options }) => {
      calls.push(options);
      context.resume();
      return {
        lines: (async function* () {
          yield JSON.stringify(error === null ? { id: 'moby.image.id', aux: { ID: builtId } } : { error });
        })(),
        close: () => {},
      };
    },
  };
}

test('a daemon whose address is not known is infrastructure', async () => {
  vi.stubEnv('DOCKER_HOST', 'tcp://[');
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(await provideImage(await contextOf({}), openContainerHost)).toMatchObject({
    outcome: 'failed',
    reason: 'infrastructure',
    cause: 'daemon-unreachable',
  });
  expect(() => DockerRuntime.open(openContainerHost)).toThrow(EngineStartError);
});

describe('the step build-image', () => {
  test.each(['process', 'external'] as const)('has nothing to do with RUNTIME=%s', async (runtime) => {
    expect(await step.run(await contextOf({}, { runtime }))).toEqual({
      outcome: 'skipped',
      why: `no container is launched (RUNTIME=${runtime})`,
    });
  });

  test("builds LMCache's Dockerfile with the original suite's arguments", async () => {
    await noBuildx();
    const calls: unknown[] = [];
    const context = await contextOf({ LMCACHE_DIR: await checkout(), VLLM_VERSION: '0.26.0' });
    expect(await provide(context, building(calls))).toMatchObject({ outcome: 'passed' });
    expect(calls).toMatchObject([
      {
        dockerfile: 'docker/Dockerfile',
        tag: 'lmcache/vllm-openai:test',
        target: 'image-build',
        buildArgs: { CUDA_VERSION: '12.8', UBUNTU_VERSION: '24.04', VLLM_VERSION: '0.26.0' },
      },
    ]);
  });

  test('takes the working directory when that is a checkout', async () => {
    await noBuildx();
    vi.spyOn(process, 'cwd').mockReturnValue(await checkout());
    onTestFinished(() => void vi.restoreAllMocks());
    const calls: unknown[] = [];
    expect(await provide(await contextOf({}), building(calls))).toMatchObject({ outcome: 'passed' });
    expect(calls).toHaveLength(1);
  });

  test('says what to set when there is nothing to build', async () => {
    vi.spyOn(process, 'cwd').mockReturnValue(directory);
    onTestFinished(() => void vi.restoreAllMocks());
    const result = await provide(await contextOf({}), {});
    expect(result).toMatchObject({ outcome: 'failed', reason: 'configuration', cause: 'bad-value' });
    for (const name of ['LMCACHE_DIR', 'IMAGE', 'ENGINE=sim']) expect(JSON.stringify(result)).toContain(name);
  });

  test('refuses a LMCACHE_DIR that is none', async () => {
    expect(await provide(await contextOf({ LMCACHE_DIR: directory }), {})).toMatchObject({
      outcome: 'failed',
      reason: 'configuration',
      message: expect.stringContaining(`LMCACHE_DIR "${directory}"`),
    });
  });

  test('a build that fails is infrastructure, with the log to look at', async () => {
    await noBuildx();
    const context = await contextOf({ LMCACHE_DIR: await checkout() });
    expect(await provide(context, building([], 'exit code: 1'))).toMatchObject({
      outcome: 'failed',
      reason: 'infrastructure',
      cause: 'build-failed',
      evidence: [`full output: ${context.results.path('logs', 'build-image.log')}`],
    });
  });

  test('no daemon', async () => {
    const ping = async (): Promise<void> => {
      throw new DockerError('daemon-unreachable', 'nobody at the socket');
    };
    expect(await provide(await contextOf({}), { ping })).toMatchObject({
      outcome: 'failed',
      reason: 'infrastructure',
      cause: 'daemon-unreachable',
      message: 'nobody at the socket',
    });
  });
});

describe('IMAGE', () => {
  test('that is here is used as it is', async () => {
    const host = { findImage: async () => imageInfo('sha256:here') };
    expect(await provide(await contextOf({ IMAGE: 'a/b:c' }), host)).toMatchObject({
      outcome: 'passed',
      message: expect.stringContaining('nothing was built'),
    });
  });

  test('that is not here is pulled', async () => {
    const pulled: string[] = [];
    const host: Partial<ContainerHost> = {
      findImage: async () => null,
      pullImage: async (reference, { onProgress }) => {
        onProgress?.({ id: 'l', status: 'Downloading', currentBytes: 1, totalBytes: 2 });
        pulled.push(reference);
      },
    };
    expect(await provide(await contextOf({ IMAGE: 'a/b:c' }), host)).toMatchObject({ outcome: 'passed' });
    expect(pulled).toEqual(['a/b:c']);
  });

  test('that cannot be pulled', async () => {
    const host: Partial<ContainerHost> = {
      findImage: async () => null,
      pullImage: async () => {
        throw new DockerError('image-missing', 'manifest unknown');
      },
    };
    expect(await provide(await contextOf({ IMAGE: 'a/b:c' }), host)).toMatchObject({
      outcome: 'failed',
      reason: 'infrastructure',
      cause: 'image-missing',
    });
  });
});

describe('the simulator', () => {
  test('is built under its content, and only when it is not here', async () => {
    await noBuildx();
    const { root, remove } = await simulatorPackage();
    onTestFinished(remove);
    const context = await contextOf({}, { engine: 'sim', workspace: root });
    const { reference } = await resolveImage(context.settings, context.run);
    const calls: unknown[] = [];
    let isHere = false;
    const host: Partial<ContainerHost> = {
      ...building(calls),
      findImage: async () => {
        if (!isHere) {
          isHere = true;
          return null;
        }
        return imageInfo(builtId);
      },
    };
    expect(await provide(context, host)).toMatchObject({ outcome: 'passed' });
    expect(calls).toMatchObject([{ tag: reference, dockerfile: 'Dockerfile', target: null }]);
    const events = [
      { type: 'build-started', image: reference },
      { type: 'build-finished', image: reference, ok: true },
    ];
    expect(context.events).toEqual(events);
    expect(await provide(context, host)).toMatchObject({
      outcome: 'passed',
      message: expect.stringContaining('up to date'),
    });
    expect(calls).toHaveLength(1);
    expect(context.events).toEqual(events);
  });

  test('that another run built at the same time is as good', async () => {
    await noBuildx();
    const { root, remove } = await simulatorPackage();
    onTestFinished(remove);
    let looked = 0;
    const host: Partial<ContainerHost> = {
      ...building([]),
      findImage: async () => {
        looked += 1;
        return looked === 1 ? null : imageInfo('sha256:theirs');
      },
    };
    expect(await provide(await contextOf({}, { engine: 'sim', workspace: root }), host)).toMatchObject({
      outcome: 'passed',
      message: expect.stringContaining('another run'),
    });
  });

  test('of other days goes, that of today stays', async () => {
    await noBuildx();
    const { root, remove } = await simulatorPackage();
    onTestFinished(remove);
    const removed: string[] = [];
    const calls: unknown[] = [];
    const image = (tag: string, ageHours: number) => ({
      ...imageInfo(`sha256:${tag}`),
      tags: [`lmcache-ci/simulator:${tag}`],
      createdAt: new Date(Date.now() - ageHours * 3_600_000).toISOString(),
    });
    let looked = 0;
    await provide(await contextOf({}, { engine: 'sim', workspace: root }), {
      ...building(calls),
      findImage: async () => {
        looked += 1;
        return looked === 1 ? null : imageInfo(builtId);
      },
      listImages: async () => [image('old', 48), image('today', 2)],
      removeImage: async (reference) => {
        removed.push(reference);
        throw new DockerError('unknown', 'a container uses it');
      },
    });
    expect(removed).toEqual(['lmcache-ci/simulator:old']);
  });

  test('that cannot be made here is an expected failure', async () => {
    await expect(resolveImage({ IMAGE: null }, { engine: 'sim', workspace: directory })).rejects.toBeInstanceOf(
      StepFailure,
    );
  });
});

describe('the image of a run', () => {
  test('is the same for building and launching', async () => {
    const run = { engine: 'vllm', workspace: directory } as const;
    expect(await resolveImage({ IMAGE: null }, run)).toEqual({
      source: 'lmcache-checkout',
      reference: 'lmcache/vllm-openai:test',
    });
    expect(await resolveImage({ IMAGE: 'a:b' }, run)).toEqual({ source: 'given', reference: 'a:b' });
    expect(await resolveImage({ IMAGE: 'a:b' }, { ...run, engine: 'sim' })).toMatchObject({ reference: 'a:b' });
  });
});

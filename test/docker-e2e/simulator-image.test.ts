import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DockerRuntime } from '../../docker/docker-runtime.js';
import { buildImage } from '../../docker/image-build.js';
import type { LaunchSpec } from '../../engines/launch-spec.js';
import { assembleContext, imageContent } from '../../simulator/image/image-context.js';
import { provideImage, step } from '../../steps/build-image.js';
import { resolveImage } from '../../steps/resolve-image.js';
import { type FakeContext, fakeContext, settingsFor } from '../steps/fake-context.js';
import { dockerBench, execute } from './support.js';

const bench = dockerBench();
const workspace = path.join(import.meta.dirname, '..', '..');

let context: FakeContext<ReturnType<typeof settingsFor<typeof step.settings>>>;
let reference: string;
beforeAll(async () => {
  const made = await fakeContext({ settings: settingsFor(step), urls: {} });
  context = { ...made, run: { ...made.run, engine: 'sim', runtime: 'docker', workspace } };
  ({ reference } = await resolveImage(context.settings, context.run));
});
afterAll(async () => await context.dispose());

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return address.port;
}

async function answers(url: string): Promise<Response | null> {
  const response = await fetch(url).catch(() => null);
  return response?.status === 200 ? response : null;
}

describe("the simulator's image", () => {
  test('is small, and built from what this package has', async () => {
    const tag = `lmcache-ci/test-simulator:${bench.image.split(':')[1] ?? ''}`;
    const content = await imageContent(workspace);
    const assembled = await assembleContext(content);
    try {
      const outcome = await buildImage(
        bench.host,
        {
          contextDirectory: assembled.directory,
          dockerfile: 'Dockerfile',
          tag,
          target: null,
          buildArgs: assembled.buildArgs,
        },
        { signal: context.signal, execute, timeoutMs: 60_000 },
      );
      expect(outcome).toMatchObject({ status: 'built' });
      // Little more than node itself.
      const { size } = await stat(process.execPath);
      expect((await bench.host.findImage(tag))?.sizeBytes).toBeLessThan(size + 30_000_000);
    } finally {
      await assembled.remove();
      await bench.host.removeImage(tag).catch(() => {});
    }
  });

  test('is provided once and found again', async () => {
    expect(await provideImage(context, () => bench.host)).toMatchObject({ outcome: 'passed' });
    expect(await provideImage(context, () => bench.host)).toMatchObject({
      outcome: 'passed',
      message: expect.stringContaining('up to date'),
    });
    expect((await bench.host.findImage(reference))?.tags).toContain(reference);
  });

  test.each([
    {
      what: "the image's own entrypoint is vllm serve",
      entrypoint: null,
      args: (port: number) => ['Qwen/Qwen3-14B', '--port', String(port), '--no-async-scheduling'],
      health: '/health',
    },
    {
      what: 'lmcache server',
      entrypoint: ['lmcache', 'server'],
      args: (port: number) => [
        ...['--l1-size-gb', '80', '--eviction-policy', 'LRU', '--max-workers', '4'],
        ...['--port', String(port + 1), '--http-port', String(port)],
      ],
      health: '/healthcheck',
    },
  ])('$what', async ({ entrypoint, args, health }) => {
    await provideImage(context, () => bench.host);
    const port = await freePort();
    const spec: LaunchSpec = {
      ...bench.spec('simulator', ''),
      args: args(port),
      environment: { SIM_PROFILE: 'h200', SIM_SPEED: '100', PYTHONHASHSEED: '0' },
      container: { image: reference, entrypoint, mounts: [], gpu: null },
    };
    const logPath = path.join(bench.directory, `${path.basename(spec.name)}-${port}.log`);
    const engine = await new DockerRuntime(bench.host).start(spec, logPath, bench.labels);
    const url = `http://127.0.0.1:${port}${health}`;
    await expect.poll(() => answers(url), { timeout: 30_000, interval: 100 }).not.toBeNull();
    expect((await answers(url))?.headers.get('x-lmcache-ci-simulated')).toBe('h200');
    expect(await engine.stop(10_000)).toEqual({ forced: false });
    expect(await readFile(logPath, 'utf8')).not.toBe('');
  });

  test('the module of the older releases starts through /opt/venv/bin/python3', async () => {
    await provideImage(context, () => bench.host);
    const port = await freePort();
    const spec: LaunchSpec = {
      ...bench.spec('module', ''),
      args: [
        '-m',
        'lmcache.v1.multiprocess.server',
        '--l1-size-gb',
        '1',
        '--eviction-policy',
        'LRU',
        '--port',
        String(port),
      ],
      container: { image: reference, entrypoint: ['/opt/venv/bin/python3'], mounts: [], gpu: null },
    };
    const logPath = path.join(bench.directory, 'module.log');
    const engine = await new DockerRuntime(bench.host).start(spec, logPath, bench.labels);
    await expect.poll(async () => await readFile(logPath, 'utf8'), { timeout: 20_000 }).toContain(String(port));
    expect(await engine.stop(10_000)).toEqual({ forced: false });
  });

  test('what the real program refuses, it refuses', async () => {
    await provideImage(context, () => bench.host);
    const spec: LaunchSpec = {
      ...bench.spec('refused', ''),
      args: ['Qwen/Qwen3-14B', '--no-such-flag'],
      container: { image: reference, entrypoint: null, mounts: [], gpu: null },
    };
    const logPath = path.join(bench.directory, 'refused.log');
    const engine = await new DockerRuntime(bench.host).start(spec, logPath, bench.labels);
    expect(await engine.exited).toMatchObject({ code: 2 });
    expect(await readFile(logPath, 'utf8')).toContain('--no-such-flag');
    await engine.stop(0);
  });
});

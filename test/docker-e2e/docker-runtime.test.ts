import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import Docker from 'dockerode';
import { describe, expect, test } from 'vitest';
import { containerExit } from '../../docker/container-exit.js';
import { createRequest } from '../../docker/create-request.js';
import { DockerRuntime } from '../../docker/docker-runtime.js';
import { DockerError } from '../../docker/errors.js';
import { listByLabel, stopAndRemoveContainer } from '../../docker/labelled-containers.js';
import { EngineStartError } from '../../engines/errors.js';
import type { LaunchSpec } from '../../engines/launch-spec.js';
import type { StartedEngine } from '../../engines/runtime.js';
import { dockerBench } from './support.js';

const bench = dockerBench();
const logOf = (spec: LaunchSpec): string => path.join(bench.directory, 'logs', `${spec.name}.log`);

function start(spec: LaunchSpec): Promise<StartedEngine> {
  return new DockerRuntime(bench.host).start(spec, logOf(spec), bench.labels);
}

async function startFailure(spec: LaunchSpec): Promise<EngineStartError> {
  const error = await start(spec).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof EngineStartError)) throw new Error(`expected an EngineStartError, got ${String(error)}`);
  // What did not start leaves nothing behind.
  expect((await listByLabel(bench.host, bench.labels)).map(({ name }) => name)).not.toContain(spec.name);
  return error;
}

async function logLine(spec: LaunchSpec, line: string): Promise<void> {
  await expect.poll(async () => (await readFile(logOf(spec), 'utf8')).split('\n'), { timeout: 20_000 }).toContain(line);
}

describe('logs', () => {
  test('are complete from the first line to the last, both streams, without ANSI codes', async () => {
    const script = `
      for (let i = 0; i < 20000; i += 1) console.log('\\x1b[3' + (i % 8) + 'mout ' + i + '\\x1b[0m é');
      console.error('err line');
      process.stdout.write('no newline at the end');`;
    // Several at once keep the daemon busy, which is when a follower of its log files misses the end.
    const specs = ['logs-1', 'logs-2', 'logs-3', 'logs-4'].map((stem) => bench.spec(stem, script));
    const engines = await Promise.all(specs.map(start));
    for (const [index, engine] of engines.entries()) {
      expect(await engine.exited).toMatchObject({ code: 0, signal: null, outOfMemory: false });
      const lines = (await readFile(logOf(specs[index] ?? bench.spec('none', '')), 'utf8')).split('\n');
      expect(lines.filter((line) => line.startsWith('out '))).toEqual(
        Array.from({ length: 20_000 }, (_, number) => `out ${number} é`),
      );
      expect(lines).toContain('err line');
      expect(lines).toContain('no newline at the end');
      await engine.stop(0);
    }
  });
});

describe('how engines end', () => {
  test('one that exits at once says so, with its code and its words', async () => {
    const spec = bench.spec('exits', "console.error('model not found'); process.exitCode = 3");
    const engine = await start(spec);
    expect(await engine.exited).toMatchObject({ code: 3, signal: null, outOfMemory: false });
    expect(await readFile(logOf(spec), 'utf8')).toContain('model not found');
    expect(await engine.stop(1000)).toEqual({ forced: false });
    expect(await listByLabel(bench.host, bench.labels)).toEqual([]);
  });

  test("a port that is taken on the host is the engine's own failure", async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const spec = bench.spec('port', `require('http').createServer().listen(${port}, '127.0.0.1')`);
    const engine = await start(spec);
    expect(await engine.exited).toMatchObject({ code: 1 });
    expect(await readFile(logOf(spec), 'utf8')).toContain('EADDRINUSE');
    await engine.stop(0);
    await new Promise((resolve) => server.close(resolve));
  });

  test('out of memory', async () => {
    const spec = bench.spec('oom', 'const kept = []; for (;;) kept.push(Buffer.alloc(8 << 20, 1));');
    const request = createRequest(spec, bench.labels);
    const id = await bench.host.createContainer({
      ...request,
      HostConfig: { ...request.HostConfig, Memory: 64 * 1024 * 1024 },
    });
    await bench.host.startContainer(id);
    expect(await containerExit(bench.host, id, AbortSignal.timeout(60_000))).toMatchObject({
      code: null,
      signal: 'SIGKILL',
      outOfMemory: true,
    });
  });

  test('killed by somebody else, and removed by somebody else', async () => {
    const spec = bench.spec('removed', 'setInterval(() => {}, 1000)');
    const engine = await start(spec);
    await bench.host.removeContainer(spec.name);
    expect((await engine.exited).signal).toBe('SIGKILL');
    expect(await engine.stop(1000)).toEqual({ forced: false });
  });
});

describe('stopping', () => {
  test('lets an engine end by itself', async () => {
    const script =
      "process.on('SIGTERM', () => { console.log('goodbye'); process.exit(0); }); setInterval(() => {}, 1000); console.log('up')";
    const spec = bench.spec('graceful', script);
    const engine = await start(spec);
    await logLine(spec, 'up');
    expect(await engine.stop(20_000)).toEqual({ forced: false });
    expect(await engine.exited).toMatchObject({ code: 0, signal: null });
    await logLine(spec, 'goodbye');
    expect(await listByLabel(bench.host, bench.labels)).toEqual([]);
  });

  test('kills the one that will not, and says so', async () => {
    const spec = bench.spec(
      'stubborn',
      "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up')",
    );
    const engine = await start(spec);
    await logLine(spec, 'up');
    expect(await engine.stop(300)).toEqual({ forced: true });
    expect(await engine.exited).toMatchObject({ code: null, signal: 'SIGKILL', outOfMemory: false });
    expect(await listByLabel(bench.host, bench.labels)).toEqual([]);
  });
});

describe('what does not start', () => {
  test('no such image', async () => {
    const spec = bench.spec('image', '');
    const error = await startFailure({ ...spec, container: { ...spec.container, image: 'lmcache-ci/nosuch:1' } });
    expect(error).toMatchObject({ failureCause: 'image-missing', reason: 'infrastructure' });
    expect(error.message).toContain('lmcache-ci/nosuch:1');
    await expect(
      bench.host.pullImage('registry.invalid/nosuch:1', { signal: AbortSignal.timeout(60_000), timeoutMs: 60_000 }),
    ).rejects.toMatchObject({ kind: 'image-missing' });
  });

  test('no nvidia runtime, no GPU', async () => {
    const info = await bench.host.info();
    expect(info.runtimes).toContain('runc');
    expect(info.buildKit).toBe(true);
    const spec = bench.spec('gpu', '');
    const uuids = ['GPU-00000001-0000-0000-0000-000000000000'];
    if (info.runtimes.includes('nvidia')) throw new Error('this machine has the nvidia runtime: nothing to see here');
    const error = await startFailure({ ...spec, container: { ...spec.container, gpu: { runtime: 'nvidia', uuids } } });
    expect(error.failureCause).toBe('no-gpu');
    expect(error.message).toContain('nvidia-ctk runtime configure');
  });

  test('an entrypoint that is not in the image', async () => {
    const spec = bench.spec('entrypoint', '');
    const error = await startFailure({ ...spec, container: { ...spec.container, entrypoint: ['/nosuch'] } });
    expect(error.failureCause).toBe('engine-died');
    expect(error.message).toContain('/nosuch');
  });

  test('a name that another container has, which stays as it is', async () => {
    const spec = bench.spec('name', 'setInterval(() => {}, 1000)');
    const first = await start(spec);
    const error = await start(spec).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(EngineStartError);
    expect(String(error)).toContain(spec.name);
    expect(await listByLabel(bench.host, bench.labels)).toMatchObject([{ name: spec.name, state: 'running' }]);
    await first.stop(0);
  });
});

describe('labels', () => {
  test('find containers and remove them, from any process and more than once', async () => {
    const specs = ['a', 'b'].map((stem) => bench.spec(stem, 'setInterval(() => {}, 1000)'));
    const engines = await Promise.all(specs.map(start));
    const found = await listByLabel(bench.host, bench.labels);
    expect(found.map(({ name }) => name).sort()).toEqual(specs.map(({ name }) => name));
    expect(await listByLabel(bench.host, { 'ci.lmcache.test': null })).toEqual(expect.arrayContaining([...found]));
    expect(await listByLabel(bench.host, { 'ci.lmcache.test': 'other' })).toEqual([]);
    const [first, second] = found;
    // Twice at once: the daemon answers one of them that the removal is in progress.
    const both = await Promise.all([
      bench.host.removeContainer(first?.id ?? ''),
      bench.host.removeContainer(first?.id ?? ''),
    ]);
    expect(both.filter(({ existed }) => existed).length).toBeGreaterThanOrEqual(1);
    expect(await bench.host.removeContainer(first?.id ?? '')).toEqual({ existed: false, forced: false });
    expect(await stopAndRemoveContainer(bench.host, second?.id ?? '', 100)).toEqual({ existed: true, forced: true });
    expect(await stopAndRemoveContainer(bench.host, second?.id ?? '', 100)).toEqual({ existed: false, forced: false });
    expect(await listByLabel(bench.host, bench.labels)).toEqual([]);
    await Promise.all(engines.map((engine) => engine.exited));
  });
});

describe('docker inspect', () => {
  test('shows the request of a simulated engine as it was sent', async () => {
    const spec = bench.spec('inspect', 'setInterval(() => {}, 1000)');
    const source = path.join(bench.directory, 'huggingface');
    const mounts = [{ source, target: '/root/.cache/huggingface', readOnly: false }];
    const engine = await start({
      ...spec,
      environment: { PYTHONHASHSEED: '0' },
      container: { ...spec.container, mounts },
    });
    const shown = await new Docker().getContainer(spec.name).inspect();
    expect(shown.Config).toMatchObject({
      Entrypoint: ['/usr/local/bin/node'],
      Cmd: ['-e', 'setInterval(() => {}, 1000)'],
      Labels: bench.labels,
    });
    expect(shown.Config.Env).toContain('PYTHONHASHSEED=0');
    expect(shown.HostConfig).toMatchObject({
      NetworkMode: 'host',
      IpcMode: 'host',
      Binds: [`${source}:/root/.cache/huggingface`],
      Runtime: 'runc',
      DeviceRequests: null,
    });
    await engine.stop(0);
  });
});

test('an error of the daemon is always one of ours', async () => {
  await expect(bench.host.startContainer('nosuch')).rejects.toBeInstanceOf(DockerError);
  expect(await bench.host.inspectContainer('nosuch')).toBeNull();
  expect(await bench.host.killContainer('nosuch', 'SIGKILL')).toBe(false);
  expect(await bench.host.findImage('lmcache-ci/nosuch:1')).toBeNull();
});

import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { containerExit, exitOf } from '../../docker/container-exit.js';
import type { ContainerHost } from '../../docker/container-host.js';
import { DockerRuntime } from '../../docker/docker-runtime.js';
import { DockerError, type DockerErrorKind } from '../../docker/errors.js';
import { describeHolder } from '../../docker/labelled-containers.js';
import { EngineStartError, SurvivorError } from '../../engines/errors.js';
import type { LaunchSpec } from '../../engines/launch-spec.js';
import { fakeHost } from './fake-host.js';

let directory: string;
let logPath: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-runtime-'));
  logPath = path.join(directory, 'logs', 'vllm-mp-test-1.log');
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
});

const spec: LaunchSpec = {
  role: 'vllm',
  name: 'vllm-mp-test-1',
  program: 'vllm-serve',
  args: [],
  environment: {},
  container: { image: 'a:b', entrypoint: null, mounts: [], gpu: null },
  command: [],
  ports: [],
  healthUrl: null,
};

async function startFailure(host: ContainerHost): Promise<EngineStartError> {
  const error = await new DockerRuntime(host).start(spec, logPath, {}).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof EngineStartError)) throw new Error(`expected an EngineStartError, got ${String(error)}`);
  return error;
}

const fails = (kind: DockerErrorKind) => async (): Promise<never> => {
  throw new DockerError(kind, `${kind}!`, { detail: `the daemon said ${kind}` });
};

describe('a container that does not start', () => {
  test.each([
    ['daemon-unreachable', 'daemon-unreachable'],
    ['image-missing', 'image-missing'],
    ['no-gpu', 'no-gpu'],
    ['out-of-space', 'disk'],
    ['name-conflict', 'bad-value'],
  ] as const)('%s on create', async (kind, failureCause) => {
    const error = await startFailure(fakeHost({ createContainer: fails(kind) }));
    expect(error).toMatchObject({ failureCause, reason: 'infrastructure', message: `${kind}!` });
    expect(error.evidence).toEqual([`container vllm-mp-test-1, image a:b: the daemon said ${kind}`]);
    expect(await readFile(logPath, 'utf8')).toContain(`${kind}!`);
  });

  test.each([
    ['port-taken', 'port-taken'],
    ['entrypoint-failed', 'engine-died'],
    ['timeout', 'timeout'],
  ] as const)(
    '%s on start: the created container goes, and its removal does not hide why',
    async (kind, failureCause) => {
      const removed: string[] = [];
      const detached: string[] = [];
      const error = await startFailure(
        fakeHost({
          createContainer: async () => 'id-1',
          attachOutput: async (_id, _sinks, signal) => ({
            ended: new Promise((_resolve, reject) => {
              signal.addEventListener('abort', () => {
                detached.push('id-1');
                reject(new DockerError('aborted', 'detached'));
              });
            }),
          }),
          startContainer: fails(kind),
          removeContainer: async (id) => {
            removed.push(id);
            throw new DockerError('unknown', 'cannot remove');
          },
        }),
      );
      expect(error).toMatchObject({ failureCause, message: `${kind}!` });
      expect(removed).toEqual(['id-1']);
      expect(detached).toEqual(['id-1']);
    },
  );

  test('a log that cannot be written is said before anything is created', async () => {
    await writeFile(path.join(directory, 'file'), '');
    logPath = path.join(directory, 'file', 'engine.log');
    const error = await startFailure(fakeHost({}));
    expect(error.failureCause).toBe('disk');
    expect(error.message).toContain(`"${logPath}"`);
  });
});

/** A container that runs until it is killed as `diesBy` says. */
function runningContainer(diesBy: readonly ('SIGTERM' | 'SIGKILL')[], calls: string[]): ContainerHost {
  let end = (_code: number): void => {};
  const exit = new Promise<number>((resolve) => {
    end = resolve;
  });
  let exitCode = 0;
  return fakeHost({
    createContainer: async () => 'id-1',
    startContainer: async () => {},
    attachOutput: async (_id, { stdout, stderr }) => {
      stdout.write('\u001b[32mINFO\u001b[0m out\nhalf a li');
      stderr.write('err\n');
      return { ended: exit.then(() => void stdout.write('ne')) };
    },
    waitForExit: async () => await exit,
    inspectContainer: async (id) => ({
      id,
      name: 'vllm-mp-test-1',
      image: { name: 'lmcache/vllm-openai:test', id: 'sha256:0' },
      status: 'exited',
      running: false,
      pid: 0,
      exitCode,
      oomKilled: false,
      error: '',
      finishedAt: '2026-11-22T01:00:51.82604275Z',
    }),
    killContainer: async (_id, signalName) => {
      calls.push(signalName);
      if (diesBy.includes(signalName)) {
        exitCode = signalName === 'SIGKILL' ? 137 : 143;
        end(exitCode);
      }
      return true;
    },
    removeContainer: async () => {
      calls.push('remove');
      return { existed: true, forced: false };
    },
  });
}

describe('stopping', () => {
  test('by SIGTERM; the whole log is written without colours; twice is harmless', async () => {
    const calls: string[] = [];
    const engine = await new DockerRuntime(runningContainer(['SIGTERM'], calls)).start(spec, logPath, {});
    expect(engine.handle).toEqual({ kind: 'container', id: 'id-1', name: 'vllm-mp-test-1' });
    expect(await Promise.all([engine.stop(5000), engine.stop(1)])).toEqual([{ forced: false }, { forced: false }]);
    expect(calls).toEqual(['SIGTERM', 'remove']);
    expect(await engine.exited).toEqual({
      code: null,
      signal: 'SIGTERM',
      outOfMemory: false,
      at: '2026-11-22T01:00:51.826Z',
    });
    const lines = (await readFile(logPath, 'utf8')).split('\n');
    expect(lines).toContain('INFO out');
    expect(lines).toContain('err');
    expect(lines).toContain('half a line');
  });

  test('by SIGKILL after the grace period, which is told', async () => {
    const calls: string[] = [];
    const engine = await new DockerRuntime(runningContainer(['SIGKILL'], calls)).start(spec, logPath, {});
    expect(await engine.stop(20)).toEqual({ forced: true });
    expect(calls).toEqual(['SIGTERM', 'SIGKILL', 'remove']);
    expect((await engine.exited).signal).toBe('SIGKILL');
  });

  test('what has ended by itself is only removed', async () => {
    const calls: string[] = [];
    const host = fakeHost({
      ...runningContainer([], calls),
      waitForExit: async () => 3,
      inspectContainer: async () => null,
      attachOutput: async () => ({ ended: Promise.resolve() }),
      killContainer: async () => false,
    });
    const engine = await new DockerRuntime(host).start(spec, logPath, {});
    expect(await engine.exited).toMatchObject({ code: 3, signal: null });
    expect(await engine.stop(5000)).toEqual({ forced: false });
    expect(calls).toEqual(['remove']);
  });

  test('what the daemon had forgotten counts as forced; what cannot be ended then is told as it is', async () => {
    const forgotten = fakeHost({
      ...runningContainer(['SIGTERM'], []),
      removeContainer: async () => ({ existed: true, forced: true }),
    });
    expect(await (await new DockerRuntime(forgotten).start(spec, logPath, {})).stop(5000)).toEqual({ forced: true });
    const notOurs = fakeHost({
      ...runningContainer(['SIGTERM'], []),
      removeContainer: async () => {
        throw new SurvivorError('process 4711 lives on');
      },
    });
    const engine = await new DockerRuntime(notOurs).start(spec, logPath, {});
    await expect(engine.stop(5000)).rejects.toThrow(new SurvivorError('process 4711 lives on'));
  });

  test('a removal that fails is told, and the engine still counts as ended', async () => {
    const host = fakeHost({
      ...runningContainer(['SIGTERM'], []),
      removeContainer: fails('daemon-unreachable'),
    });
    const engine = await new DockerRuntime(host).start(spec, logPath, {});
    await expect(engine.stop(5000)).rejects.toThrow('daemon-unreachable!');
    await engine.exited;
  });
});

test('a container that does not go is named with what holds it', async () => {
  const host = runningContainer([], []);
  const held = fakeHost({
    inspectContainer: async (id) => {
      const state = await host.inspectContainer(id);
      return state && { ...state, status: 'running', running: true, pid: process.pid };
    },
  });
  expect(await describeHolder(held, 'id-1')).toMatch(
    new RegExp(`^; it is running: process ${process.pid} \\(.+\\), state [RSD]`),
  );
  expect(await describeHolder(fakeHost({}), 'id-1')).toBe('');
});

describe('how a container ended', () => {
  test.each([
    [0, false, { code: 0, signal: null, outOfMemory: false }],
    [7, true, { code: 7, signal: null, outOfMemory: true }],
    [137, true, { code: null, signal: 'SIGKILL', outOfMemory: true }],
    [137, false, { code: null, signal: 'SIGKILL', outOfMemory: false }],
    [143, false, { code: null, signal: 'SIGTERM', outOfMemory: false }],
    [139, false, { code: null, signal: 'SIGSEGV', outOfMemory: false }],
    [255, false, { code: 255, signal: null, outOfMemory: false }],
  ])('exit code %i, OOMKilled %s', (exitCode, oomKilled, expected) => {
    expect(exitOf(exitCode, oomKilled, null)).toMatchObject(expected);
  });

  test('a daemon that stumbles is asked again', async () => {
    let asked = 0;
    const host = fakeHost({
      waitForExit: async () => {
        asked += 1;
        if (asked === 1) throw new DockerError('daemon-unreachable', 'restarting');
        return 5;
      },
      inspectContainer: async () => null,
    });
    expect(await containerExit(host, 'id', new AbortController().signal)).toMatchObject({ code: 5, daemonLost: true });
  });

  test('a waiting call that is never answered does not hide the end', async () => {
    const ended = runningContainer([], []);
    let looks = 0;
    const host = fakeHost({
      waitForExit: async (_id, signal) => {
        await once(signal, 'abort');
        throw new DockerError('aborted', 'aborted');
      },
      inspectContainer: async (id) => {
        looks += 1;
        const state = await ended.inspectContainer(id);
        return state && { ...state, running: looks < 2, exitCode: 137 };
      },
    });
    expect(await containerExit(host, 'id-1', new AbortController().signal, 20)).toMatchObject({
      code: null,
      signal: 'SIGKILL',
    });
    expect(looks).toBeGreaterThanOrEqual(2);
  });

  test('a container that is gone, or is not watched any more, ended in an unknown way', async () => {
    const gone = fakeHost({ waitForExit: fails('container-missing') });
    expect(await containerExit(gone, 'id', new AbortController().signal)).toMatchObject({ code: null, signal: null });
    expect(await containerExit(fakeHost({}), 'id', AbortSignal.abort())).toMatchObject({ code: null, signal: null });
  });
});

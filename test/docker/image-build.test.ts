import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { buildxArguments, type RunProgram } from '../../docker/buildx.js';
import { DockerError } from '../../docker/errors.js';
import { type BuildFailure, type BuildOutcome, buildImage } from '../../docker/image-build.js';
import { executeOwned } from '../../pipeline/execute.js';
import { fakeHost, imageInfo } from './fake-host.js';
import { emptyPath, stubProgram } from './stub-program.js';

const builtId = 'sha256:fc0858a2c38f03a0033f4b8814f61ca5173abac2bb63bb3295a6fb040ff1217d';
const fixtures = path.join(import.meta.dirname, 'fixtures');
const request = {
  contextDirectory: fixtures,
  dockerfile: 'docker/Dockerfile',
  tag: 'lmcache/vllm-openai:test',
  target: 'image-build',
  buildArgs: { CUDA_VERSION: '12.8', UBUNTU_VERSION: '24.04', VLLM_VERSION: 'nightly' },
};
const executed: (readonly string[])[] = [];
const execute: RunProgram = (command, given) => {
  executed.push(command);
  return executeOwned(command, { ...given, owner: null });
};
const options = { signal: new AbortController().signal, execute, timeoutMs: 20_000 };

/** A docker command with buildx that prints a recording and notes how it was called. */
function stubBuildx(recording: string, exitCode: number, version = 'v0.33.0'): Promise<string> {
  return stubProgram(
    'docker',
    `const fs = require('node:fs');
    if (process.argv[3] === 'version') {
      console.log('github.com/docker/buildx ${version} 0000000');
    } else {
      fs.writeFileSync(__dirname + '/call.json', JSON.stringify({ args: process.argv.slice(2), host: process.env.DOCKER_HOST }));
      process.stderr.write(fs.readFileSync(${JSON.stringify(path.join(fixtures, recording))}));
      process.exitCode = ${exitCode};
    }`,
  );
}

function failureOf(outcome: BuildOutcome): BuildFailure {
  if (outcome.status === 'built') throw new Error('the build was expected to fail');
  return outcome.failure;
}

describe('through docker buildx', () => {
  test("sends LMCache's build, to the daemon that runs the containers", async () => {
    const directory = await stubBuildx('buildx-rawjson-ok.stderr.txt', 0);
    const outcome = await buildImage(
      fakeHost({ address: 'tcp://10.0.0.1:2375', findImage: async () => imageInfo(builtId) }),
      request,
      options,
    );
    expect(outcome).toEqual({ status: 'built', imageId: builtId, builder: { kind: 'buildx', version: '0.33.0' } });
    // Or it would live on when this process is killed.
    expect(executed.at(-1)?.slice(0, 3)).toEqual(['docker', 'buildx', 'build']);
    expect(JSON.parse(await readFile(path.join(directory, 'call.json'), 'utf8'))).toEqual({
      host: 'tcp://10.0.0.1:2375',
      args: [
        'buildx',
        'build',
        '--builder',
        'default',
        '--progress=rawjson',
        '--load',
        '--file',
        path.join(fixtures, 'docker', 'Dockerfile'),
        '--tag',
        'lmcache/vllm-openai:test',
        '--target',
        'image-build',
        '--build-arg',
        'CUDA_VERSION=12.8',
        '--build-arg',
        'UBUNTU_VERSION=24.04',
        '--build-arg',
        'VLLM_VERSION=nightly',
        fixtures,
      ],
    });
  });

  test('without a target, the last stage', () => {
    expect(
      buildxArguments({ contextDirectory: '/c', dockerfile: '/c/D', tag: 'a:b', target: null, buildArgs: {} }),
    ).not.toContain('--target');
  });

  test('a failing step is a typed failure with its last lines', async () => {
    await stubBuildx('buildx-rawjson-run-exit-1.stderr.txt', 1);
    expect(failureOf(await buildImage(fakeHost({}), request, options))).toEqual({
      kind: 'build-failed',
      message: 'failed to build: failed to solve: executor failed running [/tool exit 1]: exit code: 1',
      step: '[2/2] RUN ["/tool", "exit", "1"]',
      lastLines: ['out line', 'err line'],
    });
  });

  test('an exit code without a word of explanation is a failure', async () => {
    await stubBuildx('buildx-rawjson-ok.stderr.txt', 1);
    const failure = failureOf(await buildImage(fakeHost({}), request, options));
    expect(failure.kind).toBe('build-failed');
    expect(failure.message).toContain('exit code 1');
  });

  test('exit code 0 is no success when the tag is on another image, or on none', async () => {
    await stubBuildx('buildx-rawjson-ok.stderr.txt', 0);
    const older = await buildImage(fakeHost({ findImage: async () => imageInfo('sha256:older') }), request, options);
    expect(failureOf(older)).toMatchObject({ kind: 'not-tagged' });
    expect(failureOf(older).message).toContain('sha256:older');
    const none = await buildImage(fakeHost({ findImage: async () => null }), request, options);
    expect(failureOf(none)).toMatchObject({ kind: 'not-tagged' });
  });

  test('an abort ends the command and the plugin it started', async () => {
    const directory = await stubProgram(
      'docker',
      `const { spawn } = require('node:child_process');
      const fs = require('node:fs');
      if (process.argv[3] === 'version') console.log('github.com/docker/buildx v0.33.0 0');
      else if (process.argv[2] === 'plugin') {
        fs.writeFileSync(__dirname + '/plugin', String(process.pid));
        setInterval(() => {}, 1000);
      } else {
        spawn(process.execPath, [__filename, 'plugin'], { stdio: 'inherit' });
        setInterval(() => {}, 1000);
      }`,
    );
    const abort = new AbortController();
    const outcome = buildImage(fakeHost({}), request, { ...options, signal: abort.signal });
    await expect.poll(() => existsSync(path.join(directory, 'plugin')), { timeout: 10_000 }).toBe(true);
    const plugin = Number(await readFile(path.join(directory, 'plugin'), 'utf8'));
    abort.abort();
    expect(failureOf(await outcome)).toMatchObject({ kind: 'aborted' });
    await expect.poll(() => isAlive(plugin)).toBe(false);
  });

  test('a build that hangs ends with the time limit, even one that ignores SIGTERM', async () => {
    await stubProgram(
      'docker',
      `if (process.argv[3] === 'version') console.log('github.com/docker/buildx v0.33.0 0');
      else {
        process.on('SIGTERM', () => {});
        console.error(JSON.stringify({ vertexes: [{ digest: 'sha256:a', name: '[1/1] RUN wait', started: '2026-01-01T00:00:00Z' }] }));
        setInterval(() => {}, 1000);
      }`,
    );
    const failure = failureOf(await buildImage(fakeHost({}), request, { ...options, timeoutMs: 1000 }));
    expect(failure).toMatchObject({ kind: 'timeout', step: '[1/1] RUN wait' });
    expect(failure.message).toContain('within 1 s');
  });
});

/** A zombie that nobody has reaped yet runs no more. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe('without a usable buildx', () => {
  let context: string;
  beforeEach(async () => {
    context = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-context-'));
    onTestFinished(() => rm(context, { recursive: true, force: true }));
    await writeFile(path.join(context, 'Dockerfile'), 'FROM scratch\n');
  });
  const answering = (lines: readonly unknown[], closed: string[] = []) =>
    fakeHost({
      findImage: async () => imageInfo(builtId),
      buildWithSession: async (stream) => {
        stream.pipe(new PassThrough()).resume();
        return {
          lines: (async function* () {
            for (const line of lines) yield JSON.stringify(line);
          })(),
          close: () => closed.push('closed'),
        };
      },
    });
  const local = (): typeof request => ({ ...request, contextDirectory: context, dockerfile: 'Dockerfile' });

  test.each([
    ['no docker command', async () => emptyPath()],
    ['no plugin', async () => void (await stubProgram('docker', 'process.exit(1)'))],
    ['a plugin without rawjson', async () => void (await stubBuildx('buildx-rawjson-ok.stderr.txt', 0, 'v0.12.1'))],
  ])('%s: the session of the API builds', async (_name, prepare) => {
    await prepare();
    const closed: string[] = [];
    const host = answering([{ id: 'moby.image.id', aux: { ID: builtId } }], closed);
    expect(await buildImage(host, local(), options)).toEqual({
      status: 'built',
      imageId: builtId,
      builder: { kind: 'session' },
    });
    expect(closed).toEqual(['closed']);
  });

  test('an error in a stream that answered 200 is a failure', async () => {
    await emptyPath();
    const closed: string[] = [];
    const host = answering(
      [{ errorDetail: { message: 'target stage image-build could not be found' }, error: 'x' }],
      closed,
    );
    expect(failureOf(await buildImage(host, local(), options))).toMatchObject({
      kind: 'build-failed',
      message: 'target stage image-build could not be found',
      step: null,
    });
    expect(closed).toEqual(['closed']);
  });

  test('a stream that ends without a word is no success', async () => {
    await emptyPath();
    expect(failureOf(await buildImage(answering([]), local(), options))).toMatchObject({ kind: 'not-tagged' });
  });

  test('a full disk is told apart', async () => {
    await emptyPath();
    const host = answering([{ error: 'write /var/lib/docker/tmp/layer: no space left on device' }]);
    expect(failureOf(await buildImage(host, local(), options))).toMatchObject({ kind: 'out-of-space' });
  });

  test('a context that is not there', async () => {
    await emptyPath();
    await writeFile(path.join(context, '.dockerignore'), 'x\n');
    await rm(context, { recursive: true });
    const host = fakeHost({
      buildWithSession: (stream) =>
        new Promise((_, reject) => {
          stream.once('error', reject);
          stream.resume();
        }),
    });
    const failure = failureOf(await buildImage(host, local(), options));
    expect(failure.kind).toBe('context-unreadable');
    expect(failure.message).toContain(`"${context}"`);
  });

  test('a daemon that is gone', async () => {
    await emptyPath();
    const host = fakeHost({
      buildWithSession: async () => {
        throw new DockerError('daemon-unreachable', 'nobody there');
      },
    });
    expect(failureOf(await buildImage(host, local(), options))).toMatchObject({
      kind: 'daemon-unreachable',
      message: 'nobody there',
    });
  });

  test('a daemon that stops answering ends the build', async () => {
    await emptyPath();
    let pings = 0;
    const host = fakeHost({
      ping: async () => {
        pings += 1;
        // One that comes back in time is no reason to stop.
        if (pings !== 2) throw new DockerError('timeout', 'no answer');
      },
      buildWithSession: async (_context, { signal }) => ({
        lines: (async function* () {
          yield JSON.stringify({ stream: 'started' });
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        })(),
        close: () => {},
      }),
    });
    const outcome = await buildImage(host, local(), { ...options, pingEveryMs: 10 });
    expect(failureOf(outcome)).toMatchObject({ kind: 'daemon-unreachable' });
    expect(pings).toBe(5);
  });

  test('a stalled stream ends with the abort', async () => {
    await emptyPath();
    const abort = new AbortController();
    const host = fakeHost({
      buildWithSession: async (_context, { signal }) => ({
        lines: (async function* () {
          yield JSON.stringify({ stream: 'started' });
          const stalled = new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
          abort.abort();
          await stalled;
        })(),
        close: () => {},
      }),
    });
    const outcome = await buildImage(host, local(), { ...options, signal: abort.signal });
    expect(failureOf(outcome)).toMatchObject({ kind: 'aborted' });
  });
});

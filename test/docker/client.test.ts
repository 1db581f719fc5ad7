import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { openContainerHost } from '../../docker/client.js';

let socketPath: string;
beforeEach(async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-socket-'));
  socketPath = path.join(directory, 'docker.sock');
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
});

/** A daemon that answers as the test says. */
async function daemon(handler: Parameters<typeof createServer>[1]): Promise<Server> {
  const server = createServer({}, handler).listen(socketPath);
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  return server;
}

describe('reaching the daemon', () => {
  test('at the default socket, or where DOCKER_HOST says', () => {
    vi.stubEnv('DOCKER_HOST', '');
    expect(openContainerHost().address).toBe('unix:///var/run/docker.sock');
    vi.stubEnv('DOCKER_HOST', 'tcp://127.0.0.1:2375');
    expect(openContainerHost().address).toBe('tcp://127.0.0.1:2375');
    vi.stubEnv('DOCKER_HOST', 'tcp://[');
    expect(() => openContainerHost()).toThrow(/"tcp:\/\/\[" is no address of a Docker daemon .*: set DOCKER_HOST/);
    vi.unstubAllEnvs();
  });

  test('of the Docker context that was chosen, which DOCKER_HOST overrules', async () => {
    const server = await daemon((_request, response) => void response.end('OK'));
    const config = path.dirname(socketPath);
    const context = async (name: string, Host: string) => {
      const folder = path.join(config, 'contexts', 'meta', createHash('sha256').update(name).digest('hex'));
      await mkdir(folder, { recursive: true });
      await writeFile(path.join(folder, 'meta.json'), JSON.stringify({ Name: name, Endpoints: { docker: { Host } } }));
    };
    await context('rootless', `unix://${socketPath}`);
    await context('far', 'tcp://10.0.0.1:2375');
    await context('secure', 'tcp://10.0.0.1:2376');
    await writeFile(path.join(config, 'config.json'), JSON.stringify({ currentContext: 'rootless' }));
    onTestFinished(() => void vi.unstubAllEnvs());
    vi.stubEnv('DOCKER_HOST', '');
    vi.stubEnv('DOCKER_CONFIG', config);
    const host = openContainerHost();
    expect(host.address).toBe(`unix://${socketPath}`);
    await host.ping();
    vi.stubEnv('DOCKER_CONTEXT', 'far');
    expect(openContainerHost().address).toBe('tcp://10.0.0.1:2375');
    vi.stubEnv('DOCKER_CONTEXT', 'default');
    expect(openContainerHost().address).toBe('unix:///var/run/docker.sock');
    vi.stubEnv('DOCKER_CONTEXT', 'gone');
    expect(() => openContainerHost()).toThrow(/The Docker context "gone" was chosen/);
    vi.stubEnv('DOCKER_CONTEXT', 'secure');
    expect(() => openContainerHost()).toThrow(
      /"tcp:\/\/10\.0\.0\.1:2376" is no address .* can be asked: set DOCKER_HOST/,
    );
    vi.stubEnv('DOCKER_HOST', 'tcp://127.0.0.1:2375');
    expect(openContainerHost().address).toBe('tcp://127.0.0.1:2375');
    expect(server.listening).toBe(true);
  });

  test('nobody has made the socket', async () => {
    await expect(openContainerHost({ socketPath }).ping()).rejects.toMatchObject({
      kind: 'daemon-unreachable',
      message: expect.stringContaining(`"unix://${socketPath}"`),
    });
  });

  test('the daemon has died and left its socket', async () => {
    const child = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]);
    await new Promise((resolve) => child.once('exit', resolve));
    await expect(openContainerHost({ socketPath }).ping()).rejects.toMatchObject({ kind: 'daemon-unreachable' });
  });

  test('a daemon that takes the connection and says nothing', { timeout: 20_000 }, async () => {
    await daemon(() => {});
    await expect(openContainerHost({ socketPath }).ping()).rejects.toMatchObject({
      kind: expect.stringMatching(/^(?:timeout|daemon-unreachable)$/),
    });
  });

  test('an abort ends the wait', async () => {
    await daemon(() => {});
    const abort = new AbortController();
    const ping = openContainerHost({ socketPath }).ping(abort.signal);
    abort.abort();
    await expect(ping).rejects.toMatchObject({ kind: 'aborted' });
  });

  test('what the daemon complains of is kept', async () => {
    await daemon((_request, response) => {
      response.writeHead(500, { 'Content-Type': 'application/json' });
      response.end('{"message":"no space left on device"}');
    });
    await expect(openContainerHost({ socketPath }).listContainers([])).rejects.toMatchObject({
      kind: 'out-of-space',
      statusCode: 500,
      detail: 'no space left on device',
    });
  });
});

const options = () => ({ signal: new AbortController().signal, timeoutMs: 10_000 });

describe('a pull', () => {
  test('that fails after it has begun', async () => {
    await daemon((_request, response) => {
      response.write('{"status":"Pulling from a/b","id":"latest"}\r\n');
      response.end('{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}\r\n');
    });
    await expect(openContainerHost({ socketPath }).pullImage('a/b', options())).rejects.toMatchObject({
      kind: 'image-missing',
      detail: 'manifest unknown',
    });
  });

  test('that breaks off is no success', async () => {
    await daemon((_request, response) => {
      response.write('{"status":"Downloading","progressDetail":{"current":1,"total":10},"id":"layer"}\n');
      setImmediate(() => response.destroy());
    });
    await expect(openContainerHost({ socketPath }).pullImage('a/b', options())).rejects.toMatchObject({
      kind: 'daemon-unreachable',
    });
  });

  test('that stalls ends with its limit', async () => {
    await daemon((_request, response) => void response.write('{"status":"Waiting"}\n'));
    const pull = openContainerHost({ socketPath }).pullImage('a/b', { ...options(), timeoutMs: 200 });
    await expect(pull).rejects.toMatchObject({ kind: 'timeout' });
  });

  test('asks for one tag, and reports its progress', async () => {
    const asked: string[] = [];
    await daemon((request, response) => {
      asked.push(request.url ?? '');
      response.end('{"status":"Downloading","progressDetail":{"current":1,"total":10},"id":"layer"}\n');
    });
    const progress: unknown[] = [];
    const host = openContainerHost({ socketPath });
    await host.pullImage('registry.invalid:5000/a/b', { ...options(), onProgress: (event) => progress.push(event) });
    expect(decodeURIComponent(asked[0] ?? '')).toMatch(/fromImage=registry\.invalid:5000\/a\/b(?::latest|&tag=latest)/);
    expect(progress).toEqual([{ id: 'layer', status: 'Downloading', currentBytes: 1, totalBytes: 10 }]);
  });
});

describe('waiting for a container', () => {
  const wait = () => openContainerHost({ socketPath }).waitForExit('id-1', new AbortController().signal);

  test('gives its exit code', async () => {
    await daemon((request, response) => {
      expect([request.method, request.url]).toEqual(['POST', '/containers/id-1/wait']);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      response.end('{"StatusCode":137,"Error":null}\n');
    });
    expect(await wait()).toBe(137);
  });

  test('ends with the daemon that is killed after it has sent its headers, with the abort, without a container', async () => {
    const server = await daemon((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
    });
    const lost = wait();
    await new Promise((resolve) => server.once('request', resolve));
    await new Promise((resolve) => setTimeout(resolve, 50));
    server.closeAllConnections();
    await expect(lost).rejects.toMatchObject({ kind: 'daemon-unreachable' });
    await expect(openContainerHost({ socketPath }).waitForExit('id-1', AbortSignal.timeout(50))).rejects.toThrow(
      /wait for container "id-1"/,
    );
    server.removeAllListeners('request');
    server.on('request', (_request, response) => {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"message":"No such container: id-1"}');
    });
    await expect(wait()).rejects.toMatchObject({ kind: 'container-missing', statusCode: 404 });
  });
});

describe('the output of a container', () => {
  const frame = (stream: 1 | 2, text: string): Buffer => {
    const bytes = Buffer.from(text);
    return Buffer.concat([Buffer.from([stream, 0, 0, 0, 0, 0, 0, bytes.length]), bytes]);
  };

  test('is told apart by stream, however it is cut', async () => {
    const bytes = Buffer.concat([frame(1, 'first '), frame(2, 'err é\n'), frame(1, 'line\n')]);
    const asked: string[] = [];
    await daemon((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(200, { Connection: 'close' });
      for (const byte of bytes) response.write(Buffer.from([byte]));
      response.end();
    });
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const { ended } = await openContainerHost({ socketPath }).attachOutput('id', { stdout, stderr }, options().signal);
    await ended;
    expect(asked).toEqual(['/containers/id/attach?stream=true&stdout=true&stderr=true']);
    expect(String(stdout.read())).toBe('first line\n');
    expect(String(stderr.read())).toBe('err é\n');
  });

  test('ends with an error when the connection breaks, and with the abort', async () => {
    await daemon((request, response) => {
      response.write(frame(1, 'first line\n'));
      if (request.url?.includes('breaks')) setTimeout(() => response.destroy(), 20);
    });
    const host = openContainerHost({ socketPath });
    const sinks = { stdout: new PassThrough(), stderr: new PassThrough() };
    const broken = await host.attachOutput('breaks', sinks, options().signal);
    await expect(broken.ended).rejects.toMatchObject({ kind: 'daemon-unreachable' });
    expect(String(sinks.stdout.read())).toBe('first line\n');
    const abort = new AbortController();
    const aborted = await host.attachOutput('hangs', sinks, abort.signal);
    abort.abort();
    await expect(aborted.ended).rejects.toMatchObject({ kind: 'aborted' });
  });
});

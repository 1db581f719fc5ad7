import { readFileSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { identifyProcess } from '../../engines/process-identity.js';
import { openRegistry } from '../../engines/registry.js';
import { waitUntil } from '../../engines/wait-until.js';
import { type EngineHost, openEngineHost, type ServerSpec } from '../../experiments/engine-host.js';
import { ExternalEngine } from '../../experiments/external-engine.js';
import { fakeSpec, temporaryDirectory } from '../engines/engine-rig.js';

const hosts: EngineHost[] = [];
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()));
});

const never = new AbortController().signal;

async function openHost(root = temporaryDirectory(), signal = never) {
  const host = await openEngineHost({
    id: 'experiments-test',
    engine: 'sim',
    runtime: 'process',
    directory: path.join(root, 'run'),
    ports: { 'engine-0': 1 },
    signal,
    stopGraceMs: 2000,
    logDirectory: path.join(root, 'logs'),
    registryDir: path.join(root, 'registry'),
  });
  hosts.push(host);
  return { host, root, run: () => openRegistry(path.join(root, 'registry')).read('experiments-test') };
}

const serverSpec = async (...behaviour: readonly string[]): Promise<ServerSpec> => fakeSpec('vllm', ...behaviour);

function pidOf(run: ReturnType<Awaited<ReturnType<typeof openHost>>['run']>, port: number | undefined): number {
  const state = run?.engines[`server-${port}`]?.state;
  const handle = state?.status === 'starting' || state?.status === 'ready' ? state.handle : null;
  return handle?.kind === 'process' ? handle.pid : 0;
}

describe('an engine', () => {
  it('starts at once, gets ready, is healthy, and is closed; its logs are kept', async () => {
    const { host, run } = await openHost();
    const spec = await serverSpec();
    const engine = host.server(spec);
    expect(await engine.isHealthy()).toBe(false);
    engine.start();
    expect(await engine.waitUntilReady(10)).toBe(true);
    expect(await engine.isHealthy()).toBe(true);
    expect(engine.failure).toBeNull();
    expect(engine.baseUrl).toBe(`http://127.0.0.1:${spec.ports[0]}`);
    const pid = pidOf(run(), spec.ports[0]);
    expect(identifyProcess(pid)).not.toBeNull();
    expect(run()).toMatchObject({ joinable: false, ports: { 'engine-0': 1 } });
    await engine.close();
    await engine.close();
    expect(await waitUntil(() => identifyProcess(pid) === null, 2000)).toBe(true);
    expect(await engine.isHealthy()).toBe(false);
    expect(engine.failure).toBeNull();
    expect(path.basename(engine.logFiles?.stdout ?? '')).toBe(`${spec.ports[0]}-stdout.log`);
    expect(readFileSync(engine.logFiles?.stdout ?? '', 'utf8')).toContain('fake engine on port');
    expect(readFileSync(engine.logFiles?.stderr ?? '', 'utf8')).toBe('last words go to stderr\n');
  });

  it('is started again on the same port, its log continued', async () => {
    const { host } = await openHost();
    const spec = await serverSpec();
    for (const times of [1, 2]) {
      const engine = host.server(spec);
      expect(await engine.waitUntilReady(10)).toBe(true);
      await engine.close();
      expect(readFileSync(engine.logFiles?.stderr ?? '', 'utf8').split('last words')).toHaveLength(times + 1);
    }
  });

  it('that ends before it serves is not waited for, and its last words are told', async () => {
    const { host } = await openHost();
    const engine = host.server(await serverSpec('exit=3'));
    const started = performance.now();
    expect(await engine.waitUntilReady(60)).toBe(false);
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(engine.failure).toMatch(/exit code 3[\s\S]*its logs: .*-stdout\.log[\s\S]*told to fail/);
    await engine.close();
  });

  it('that does not get ready in time says what it answered', async () => {
    const { host } = await openHost();
    const engine = host.server(await serverSpec('never-ready'));
    expect(await engine.waitUntilReady(2)).toBe(false);
    expect(engine.failure).toMatch(/not ready after 2 s \(last answer: HTTP 503\)/);
  });

  it('that dies later is seen without asking it', async () => {
    const { host } = await openHost();
    const spec = await serverSpec();
    const engine = host.server(spec);
    expect(await engine.waitUntilReady(10)).toBe(true);
    await fetch(`${engine.baseUrl}/exit`);
    expect(await waitUntil(() => engine.failure !== null, 5000)).toBe(true);
    expect(await engine.isHealthy()).toBe(false);
  });

  it('whose port is taken says by whom; nothing is started', async () => {
    const { host, run } = await openHost();
    const spec = await serverSpec();
    const stranger = createServer().listen(spec.ports[0], '127.0.0.1');
    const engine = host.server(spec);
    expect(await engine.waitUntilReady(10)).toBe(false);
    stranger.close();
    expect(engine.failure).toContain(`port ${spec.ports[0]}`);
    expect(engine.failure).toContain(`process ${process.pid}`);
    expect(run()?.engines).toEqual({});
  });

  it('does not write where somebody has laid a link', async () => {
    const { host, root } = await openHost();
    const spec = await serverSpec();
    host.server(await serverSpec());
    symlinkSync('/etc/hostname', path.join(root, 'logs', `${spec.ports[0]}-stdout.log`));
    expect(() => host.server(spec)).toThrow('ELOOP');
  });

  it('waiting ends with the run, and nothing is started after it', async () => {
    const run = new AbortController();
    const { host } = await openHost(undefined, run.signal);
    const engine = host.server(await serverSpec('never-ready'));
    const waiting = engine.waitUntilReady(60);
    setTimeout(() => run.abort(new Error('enough')), 200);
    expect(await waiting).toBe(false);
    const late = host.server(await serverSpec());
    expect(await late.waitUntilReady(10)).toBe(false);
  });
});

describe('a server that somebody else runs', () => {
  it('is asked, never started or ended', async () => {
    const server = createServer((_, response) => response.end()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const engine = new ExternalEngine(
      'engine 0',
      `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`,
    );
    engine.start();
    expect(await engine.waitUntilReady(10)).toBe(true);
    await engine.close();
    expect(await engine.isHealthy()).toBe(true);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(await engine.isHealthy()).toBe(false);
    const startedAt = performance.now();
    expect(await engine.waitUntilReady(60)).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(5000);
    expect(engine.failure).toMatch(/^engine 0 at http:\S+ cannot be reached: connection refused\. Start the server/);
  });

  it('is waited for while it loads its model', async () => {
    const server = createServer((_, response) => response.writeHead(503).end()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const engine = new ExternalEngine(
      'engine 0',
      `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    );
    expect(await engine.waitUntilReady(0.3)).toBe(false);
    expect(engine.failure).toMatch(/was not ready after 0\.3 s \(last answer: HTTP 503\)/);
    server.closeAllConnections();
    server.close();
  });
});

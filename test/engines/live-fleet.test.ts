import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { BuildIdTakenError, EngineStartError } from '../../engines/errors.js';
import type { LaunchSpec } from '../../engines/launch-spec.js';
import { createFleet, externalFleet } from '../../engines/live-fleet.js';
import { openRegistry } from '../../engines/registry.js';
import type { EngineEvent, RunFleet } from '../../engines/run-fleet.js';
import { expectSoon, fakeSpec, isGone, sampleRun, temporaryDirectory } from './engine-rig.js';

const open: RunFleet[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((fleet) => fleet.release()));
});

const never = new AbortController().signal;

async function openFleet(options: { buildId?: string; root?: string; events?: EngineEvent[]; vllmPort?: number } = {}) {
  const root = options.root ?? temporaryDirectory();
  const fleet = await createFleet({
    buildId: options.buildId ?? 'fleet-run',
    engine: 'sim',
    runtime: 'process',
    resultsDir: path.join(root, 'results'),
    ports: { vllm: options.vllmPort ?? 1, baseline: 2, lmcache: 3, lmcacheHttp: 4 },
    settings: {},
    stopGraceMs: 2000,
    registryDir: path.join(root, 'registry'),
    onEvent: (event) => options.events?.push(event),
  });
  open.push(fleet);
  return { fleet, root, registryDir: path.join(root, 'registry') };
}

const endpointOf = (spec: LaunchSpec) => `http://127.0.0.1:${spec.ports[0]}`;

describe('launching and waiting', () => {
  it('announces the run, starts engines side by side, notices that they serve, and removes them', async () => {
    const events: EngineEvent[] = [];
    const { fleet, registryDir } = await openFleet({ events });
    const specs = [await fakeSpec('lmcache'), await fakeSpec('vllm'), await fakeSpec('baseline')] as const;
    expect(fleet.state('vllm')).toEqual({ status: 'unstarted' });
    expect(() => fleet.require('vllm')).toThrow(/npx zx steps\/launch-containers\.mjs/);
    await fleet.launch(specs, never);
    const waiting: string[] = [];
    const readiness = await fleet.waitUntilReady(['lmcache', 'vllm', 'baseline'], {
      timeoutMs: 10_000,
      signal: never,
      onProgress: (roles) => waiting.push(roles.join(' ')),
    });
    expect(readiness.outcome).toBe('ready');
    expect(waiting[0]).toBe('lmcache vllm baseline');
    expect(fleet.require('vllm')).toMatchObject({ baseUrl: endpointOf(specs[1]), containerName: null });
    expect(await fleet.unexpectedExit()).toBeNull();
    const run = openRegistry(registryDir).read('fleet-run');
    expect(run?.engines.vllm?.state.status).toBe('ready');
    const report = await fleet.release();
    expect([...report.removed].sort()).toEqual(['baseline-fake', 'lmcache-fake', 'vllm-fake']);
    expect(report).toMatchObject({ forced: [], problems: [] });
    expect(await fleet.release()).toBe(report);
    expect(openRegistry(registryDir).read('fleet-run')).toBeNull();
    expect(fleet.state('vllm').status).toBe('stopped');
    const types = events.filter((event) => event.role === 'vllm').map((event) => event.type);
    expect(types).toEqual(['engine-starting', 'engine-started', 'engine-ready', 'engine-stopping', 'engine-exited']);
  });

  it('tells whatever needs its keeper first that there is none, and leaves no record', async () => {
    const node = process.execPath;
    process.execPath = '/nonexistent/node';
    const { fleet, registryDir } = await openFleet().finally(() => {
      process.execPath = node;
    });
    await expect(fleet.launch([await fakeSpec('vllm')], never)).rejects.toThrow(EngineStartError);
    await expect(fleet.detach()).rejects.toThrow(/keeper of the run is gone/);
    expect(openRegistry(registryDir).read('fleet-run')).toBeNull();
    expect(await fleet.release()).toEqual({ removed: [], forced: [], problems: [] });
  });

  it('fails at once, with exit code and last words, when an engine ends before it serves', async () => {
    const { fleet } = await openFleet();
    const specs = [await fakeSpec('vllm', 'exit=7'), await fakeSpec('baseline', 'never-ready')];
    await fleet.launch(specs, never);
    const started = performance.now();
    const readiness = await fleet.waitUntilReady(['vllm', 'baseline'], { timeoutMs: 60_000, signal: never });
    expect(performance.now() - started).toBeLessThan(5000);
    expect(readiness).toMatchObject({
      outcome: 'engine-died',
      exit: { role: 'vllm', name: 'vllm-fake', exit: { code: 7, signal: null, outOfMemory: false } },
    });
    if (readiness.outcome !== 'engine-died') return;
    expect(readiness.exit.logTail).toContain('RuntimeError: the fake engine was told to fail');
  });

  it('fails with what was still missing when time runs out', async () => {
    const { fleet } = await openFleet();
    const specs = [
      await fakeSpec('vllm', 'never-ready'),
      await fakeSpec('baseline', 'silent'),
      await fakeSpec('lmcache'),
    ];
    await fleet.launch(specs, never);
    await expectSoon(() => fleet.state('lmcache').status === 'starting', 'started');
    const readiness = await fleet.waitUntilReady(['vllm', 'baseline', 'lmcache'], { timeoutMs: 1500, signal: never });
    expect(readiness).toEqual({
      outcome: 'timeout',
      missing: [
        { role: 'vllm', lastAnswer: 'HTTP 503' },
        { role: 'baseline', lastAnswer: 'connection refused' },
      ],
    });
  });

  it('ends the waiting when aborted, with the reason', async () => {
    const { fleet } = await openFleet();
    await fleet.launch([await fakeSpec('vllm', 'never-ready')], never);
    const abort = new AbortController();
    const waiting = fleet.waitUntilReady(['vllm'], { timeoutMs: 60_000, signal: abort.signal });
    abort.abort(new Error('Ctrl-C'));
    await expect(waiting).rejects.toThrow('Ctrl-C');
    await expect(fleet.launch([await fakeSpec('baseline')], abort.signal)).rejects.toThrow('Ctrl-C');
  });

  it('waits for the port of a server without HTTP, which is then no endpoint', async () => {
    const { fleet } = await openFleet();
    await fleet.launch([{ ...(await fakeSpec('lmcache')), program: 'lmcache-module', healthUrl: null }], never);
    const readiness = await fleet.waitUntilReady(['lmcache'], { timeoutMs: 10_000, signal: never });
    expect(readiness.outcome).toBe('ready');
    expect(fleet.find('lmcache')).toBeNull();
    expect(() => fleet.require('lmcache')).toThrow(/LMCACHE_LAUNCH=module/);
  });

  it('shows a death during a test as an unexpected exit', async () => {
    const { fleet } = await openFleet();
    const spec = await fakeSpec('vllm');
    await fleet.launch([spec], never);
    await fleet.waitUntilReady(['vllm'], { timeoutMs: 10_000, signal: never });
    await fetch(`${endpointOf(spec)}/exit`).catch(() => undefined);
    await expectSoon(() => fleet.state('vllm').status === 'failed', 'noticed');
    expect(await fleet.unexpectedExit()).toMatchObject({ role: 'vllm', exit: { code: 9 } });
    expect(await fleet.logTail('vllm', 1)).toEqual(['told to end']);
  });
});

describe('what cannot be launched', () => {
  it('is refused, with the owner of a taken port, before anything starts', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const events: EngineEvent[] = [];
    const { fleet } = await openFleet({ events });
    const specs = [await fakeSpec('vllm'), { ...(await fakeSpec('baseline')), ports: [port] }];
    const launching = fleet.launch(specs, never);
    await expect(launching).rejects.toMatchObject({ failureCause: 'port-taken', reason: 'infrastructure' });
    await expect(launching).rejects.toThrow(`port ${port} (baseline-fake) is taken by process ${process.pid} (`);
    expect(events).toEqual([]);
    await new Promise((resolve) => server.close(resolve));
  });

  it("is refused when an earlier live run was given the port, naming that run's BUILD_ID", async () => {
    const spec = await fakeSpec('vllm');
    const [port = 0] = spec.ports;
    const { fleet, registryDir } = await openFleet();
    const earlier = { vllm: port, baseline: 2, lmcache: 3, lmcacheHttp: 4 };
    openRegistry(registryDir).write(sampleRun({ buildId: 'earlier', ports: earlier }));
    await expect(fleet.launch([spec], never)).rejects.toThrow(/was given to run earlier before/);
    openRegistry(registryDir).write(
      sampleRun({ buildId: 'earlier', ports: earlier, createdAt: '2999-01-01T00:00:00.000Z' }),
    );
    await fleet.launch([spec], never);
  });

  it('keeps its reason across the keeper: a program that is not installed', async () => {
    const { fleet } = await openFleet();
    const launching = fleet.launch([{ ...(await fakeSpec('vllm')), command: ['no-such-vllm'] }], never);
    await expect(launching).rejects.toMatchObject({ name: 'EngineStartError', failureCause: 'tool-missing' });
    expect(fleet.state('vllm')).toMatchObject({ status: 'failed', exit: null });
  });

  it('is not launched twice', async () => {
    const { fleet } = await openFleet();
    await fleet.launch([await fakeSpec('vllm')], never);
    await expect(fleet.launch([await fakeSpec('vllm')], never)).rejects.toThrow(/was launched already/);
  });

  it('refuses the BUILD_ID of a live run and leaves that run alone', async () => {
    const { fleet, root } = await openFleet();
    const spec = await fakeSpec('vllm');
    await fleet.launch([spec], never);
    await expect(openFleet({ root })).rejects.toThrow(BuildIdTakenError);
    const readiness = await fleet.waitUntilReady(['vllm'], { timeoutMs: 10_000, signal: never });
    expect(readiness.outcome).toBe('ready');
  });
});

describe("the run's own children", () => {
  it('are handed to the keeper and taken back; one that is gone is no error', async () => {
    const { fleet, registryDir } = await openFleet();
    const groups = () =>
      openRegistry(registryDir)
        .read('fleet-run')
        ?.processGroups.map((group) => group.pgid);
    await fleet.own(process.pid);
    expect(groups()).toEqual([process.pid]);
    await fleet.disown(process.pid);
    expect(groups()).toEqual([]);
    await fleet.own(2 ** 22 + 1);
    expect(groups()).toEqual([]);
  });
});

describe('temporary directories', () => {
  it('are registered before they are made, and go with the run', async () => {
    const { fleet, registryDir } = await openFleet();
    const directory = await fleet.temporaryDirectory('test');
    expect(openRegistry(registryDir).read('fleet-run')?.directories).toEqual([directory]);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    writeFileSync(path.join(directory, 'large'), 'x');
    const removedByItsStep = await fleet.temporaryDirectory('test');
    rmSync(removedByItsStep, { recursive: true });
    expect(await fleet.release()).toMatchObject({ removed: [`temporary directory ${directory}`], problems: [] });
    expect(existsSync(directory)).toBe(false);
  });

  it('go with a run on external servers too, whatever ends it', async () => {
    const fleet = externalFleet({ vllmUrl: 'http://127.0.0.1:1', baselineUrl: null, lmcacheUrl: null });
    const directory = await fleet.temporaryDirectory('test');
    expect(existsSync(directory)).toBe(true);
    await fleet.close();
    await expectSoon(() => !existsSync(directory), 'removed by its keeper');
  });
});

describe('external servers', () => {
  it('are waited for and found, never launched or removed', async () => {
    const server = createServer((request, response) => {
      // An older LMCache server has its health check below /api.
      response.statusCode = ['/health', '/api/healthcheck'].includes(request.url ?? '') ? 200 : 404;
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
    const fleet = externalFleet({ vllmUrl: `${url}/`, baselineUrl: null, lmcacheUrl: url });
    const readiness = await fleet.waitUntilReady(['vllm', 'lmcache'], { timeoutMs: 5000, signal: never });
    expect(readiness.outcome).toBe('ready');
    expect(fleet.require('vllm')).toEqual({ role: 'vllm', baseUrl: url, containerName: null, logPath: null });
    expect(fleet.find('baseline')).toBeNull();
    expect(() => fleet.require('baseline')).toThrow(/VLLM_BASELINE_URL/);
    expect(await fleet.release()).toEqual({ removed: [], forced: [], problems: [] });
    expect(isGone(process.pid)).toBe(false);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

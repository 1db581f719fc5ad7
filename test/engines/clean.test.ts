import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanLeftovers, releaseDeadRun } from '../../engines/clean.js';
import type { ContainerCleaner, LabelledContainer } from '../../engines/container-cleaner.js';
import { BuildIdTakenError } from '../../engines/errors.js';
import { identifyProcess } from '../../engines/process-identity.js';
import { openRegistry } from '../../engines/registry.js';
import { ReleaseLog, releaseStrays } from '../../engines/release-leftovers.js';
import { runMark } from '../../engines/run-labels.js';
import { expectSoon, fakeSpec, isGone, sampleRun, temporaryDirectory } from './engine-rig.js';

const spawned: ChildProcess[] = [];
afterEach(() => {
  for (const child of spawned.splice(0)) child.kill('SIGKILL');
});

function sleeper(environment: Record<string, string> = {}): { readonly pid: number; readonly startTime: number } {
  const child = spawn('sleep', ['304'], {
    stdio: 'ignore',
    detached: true,
    env: { PATH: process.env['PATH'], ...environment },
  });
  spawned.push(child);
  const identity = identifyProcess(child.pid ?? 0);
  if (!identity) throw new Error('not started');
  return identity;
}

/** A daemon that holds these containers. */
function fakeDaemon(...containers: LabelledContainer[]) {
  const removed: string[] = [];
  const cleaner: ContainerCleaner = {
    list: async (buildId) => containers.filter((container) => buildId === null || container.buildId === buildId),
    remove: async (found) => {
      removed.push(...found.map((container) => container.name));
      return { removed: found.map((container) => `container ${container.name}`), forced: [], problems: [] };
    },
  };
  return { removed, openCleaner: async () => cleaner };
}

const container = (name: string, buildId: string, createdAtMs = 0, role = 'vllm'): LabelledContainer => ({
  id: name,
  name,
  buildId,
  role,
  createdAtMs,
});
const noDaemon = () => Promise.reject(new Error('connect ENOENT /var/run/docker.sock'));
const openEmpty = () => openRegistry(path.join(temporaryDirectory(), 'registry'));
const dead = { pid: process.pid, startTime: 1 };
/** Of a run that has begun to start a container. */
const inDocker = async () => ({
  runtime: 'docker' as const,
  engines: {
    vllm: { spec: await fakeSpec('vllm'), logPath: '/nowhere/vllm.log', state: { status: 'unstarted' as const } },
  },
});

describe('cleaning up after dead runs', () => {
  it('ends their groups and marked processes, and nothing of live runs or of strangers', async () => {
    const registry = openEmpty();
    const group = sleeper();
    const stray = sleeper(runMark('gone', registry.name));
    const stranger = sleeper(runMark('alive', registry.name));
    // Another registry of this machine may have a run of the same id: another user's, or another XDG_RUNTIME_DIR's.
    const namesake = sleeper(runMark('gone', `${registry.name}-of-another`));
    const reused = sleeper();
    registry.write(
      sampleRun({ buildId: 'alive', processGroups: [{ pgid: stranger.pid, startTime: stranger.startTime }] }),
    );
    registry.write(
      sampleRun({
        buildId: 'gone',
        orchestrator: dead,
        processGroups: [
          { pgid: group.pid, startTime: group.startTime },
          { pgid: reused.pid, startTime: reused.startTime - 1 },
        ],
      }),
    );
    const request = { olderThanMs: 0, registryDir: registry.directory, openCleaner: noDaemon };

    const plan = await cleanLeftovers({ ...request, dryRun: true });
    expect(plan.removed).toEqual([
      `process group ${group.pid} of run gone`,
      `process ${stray.pid} of run gone`,
      'record of run gone',
    ]);
    expect([group, stray].some(({ pid }) => isGone(pid))).toBe(false);

    const report = await cleanLeftovers({ ...request, dryRun: false });
    expect(report).toMatchObject({
      removed: [`process group ${group.pid} (sleep 304)`, `process ${stray.pid} (sleep 304)`, 'record of run gone'],
      problems: [],
    });
    await expectSoon(() => isGone(group.pid) && isGone(stray.pid), 'ended');
    for (const { pid } of [stranger, reused, namesake]) expect(isGone(pid)).toBe(false);
    expect(registry.list().live.map((run) => run.buildId)).toEqual(['alive']);
    expect(registry.list().dead).toEqual([]);
  });

  it('removes temporary directories that they have made, and no other that a record may name', async () => {
    const registry = openEmpty();
    const root = temporaryDirectory();
    const [ours, other] = ['lmcache-ci-bench-1', 'precious'].map((name) => path.join(root, name));
    for (const directory of [ours, other]) mkdirSync(directory ?? '');
    const directories = [ours ?? '', other ?? '', path.join(root, 'lmcache-ci-gone')];
    registry.write(sampleRun({ buildId: 'gone', orchestrator: dead, directories }));
    const request = { olderThanMs: 0, registryDir: registry.directory, openCleaner: noDaemon };
    const removed = [`temporary directory ${ours}`, 'record of run gone'];
    expect((await cleanLeftovers({ ...request, dryRun: true })).removed).toEqual(removed);
    expect(await cleanLeftovers({ ...request, dryRun: false })).toEqual({ removed, forced: [], problems: [] });
    expect([ours, other].map((directory) => existsSync(directory ?? ''))).toEqual([false, true]);
  });

  it('spares what is younger than asked for', async () => {
    const registry = openEmpty();
    registry.write(sampleRun({ buildId: 'old', orchestrator: dead, createdAt: new Date(0).toISOString() }));
    registry.write(sampleRun({ buildId: 'young', orchestrator: dead, createdAt: new Date().toISOString() }));
    const daemon = fakeDaemon(
      container('c-old', 'x'),
      container('c-young', 'x', Date.now()),
      container('c-kept', 'young'),
    );
    const registryDir = registry.directory;
    await cleanLeftovers({ dryRun: false, olderThanMs: 60_000, registryDir, openCleaner: daemon.openCleaner });
    expect(registry.list().dead.map((run) => run.buildId)).toEqual(['young']);
    expect(daemon.removed).toEqual(['c-old']);
  });

  it('ends engines before the cache server they use', async () => {
    const registry = openEmpty();
    const engineOf = async (role: 'lmcache' | 'vllm', endsInSeconds: number) => {
      const child = spawn('sh', ['-c', `trap 'sleep ${endsInSeconds}; exit' TERM; while :; do sleep 0.02; done`], {
        stdio: 'ignore',
        detached: true,
      });
      spawned.push(child);
      const identity = identifyProcess(child.pid ?? 0);
      if (!identity) throw new Error('not started');
      const handle = { kind: 'process' as const, ...identity };
      const state = { status: 'ready' as const, handle, since: '2026-11-22T00:00:00.000Z' };
      return { child, engine: { spec: await fakeSpec(role), logPath: '/nowhere/log', state } };
    };
    const vllm = await engineOf('vllm', 0.4);
    const lmcache = await engineOf('lmcache', 0);
    const ended: string[] = [];
    for (const [name, { child }] of Object.entries({ vllm, lmcache })) child.once('exit', () => ended.push(name));
    const engines = { lmcache: lmcache.engine, vllm: vllm.engine };
    const report = await releaseDeadRun(sampleRun({ orchestrator: dead, engines }), { registry });
    expect(report).toMatchObject({ forced: [], problems: [] });
    await expectSoon(() => ended.length === 2, 'both have ended');
    expect(ended).toEqual(['vllm', 'lmcache']);
  });

  it('removes containers of engines before the one of the cache server they use', async () => {
    const registry = openEmpty();
    registry.write(sampleRun({ buildId: 'gone', orchestrator: dead, ...(await inDocker()) }));
    const daemon = fakeDaemon(container('c-lmcache', 'gone', 0, 'lmcache'), container('c-vllm', 'gone'));
    const { openCleaner } = daemon;
    await cleanLeftovers({ dryRun: false, olderThanMs: 0, registryDir: registry.directory, openCleaner });
    expect(daemon.removed.slice(0, 2)).toEqual(['c-vllm', 'c-lmcache']);
  });

  it('removes containers without a live run, also of a run before the last boot', async () => {
    const registry = openEmpty();
    registry.write(sampleRun({ buildId: 'alive', runtime: 'docker' }));
    registry.write(sampleRun({ buildId: 'foreign', pidNamespace: 'pid:[1]', runtime: 'docker' }));
    registry.write(sampleRun({ buildId: 'booted', bootId: 'another', runtime: 'docker' }));
    const daemon = fakeDaemon(
      container('c-alive', 'alive'),
      container('c-foreign', 'foreign'),
      container('c-booted', 'booted'),
      container('c-unknown', 'unknown'),
    );
    const registryDir = registry.directory;
    const dry = await cleanLeftovers({ dryRun: true, olderThanMs: 0, registryDir, openCleaner: daemon.openCleaner });
    expect(dry.removed).toEqual(['record of run booted', 'container c-booted', 'container c-unknown']);
    expect(daemon.removed).toEqual([]);
    await cleanLeftovers({ dryRun: false, olderThanMs: 0, registryDir, openCleaner: daemon.openCleaner });
    expect([...new Set(daemon.removed)]).toEqual(['c-booted', 'c-unknown']);
  });

  it('names a record that it cannot read and leaves it with its containers and processes', async () => {
    const registry = openEmpty();
    // Of a later version, say.
    writeFileSync(path.join(registry.directory, 'strange.json'), '{ "version": 2 }');
    const process = sleeper(runMark('strange', registry.name));
    const daemon = fakeDaemon(container('c-strange', 'strange'));
    const registryDir = registry.directory;
    const report = await cleanLeftovers({
      dryRun: false,
      olderThanMs: 0,
      registryDir,
      openCleaner: daemon.openCleaner,
    });
    expect(report.removed).toEqual([]);
    expect(report.problems.join()).toMatch(/strange\.json: not a run's record, left alone/);
    expect(registry.list().unreadable).toHaveLength(1);
    expect(daemon.removed).toEqual([]);
    expect(isGone(process.pid)).toBe(false);
  });

  it('spares a run that begins while it looks', async () => {
    const registry = openEmpty();
    const daemon = fakeDaemon(container('c-new', 'new'));
    const cleaner = await daemon.openCleaner();
    const openCleaner = async () => ({
      ...cleaner,
      list: async (buildId: string | null) => {
        registry.write(sampleRun({ buildId: 'new', runtime: 'docker' }));
        return cleaner.list(buildId);
      },
    });
    const registryDir = registry.directory;
    const report = await cleanLeftovers({ dryRun: false, olderThanMs: 0, registryDir, openCleaner });
    expect(report).toEqual({ removed: [], forced: [], problems: [] });
    expect(daemon.removed).toEqual([]);
  });

  it('spares a run that takes the BUILD_ID of a dead one meanwhile', async () => {
    const registry = openEmpty();
    for (const buildId of ['a', 'b']) registry.write(sampleRun({ buildId, orchestrator: dead, ...(await inDocker()) }));
    const daemon = fakeDaemon(container('c-a', 'a'), container('c-b', 'b'));
    const cleaner = await daemon.openCleaner();
    const openCleaner = async () => ({
      ...cleaner,
      list: async (buildId: string | null) => {
        if (buildId === 'a') registry.write(sampleRun({ buildId: 'b', runtime: 'docker' }));
        return buildId === null ? [] : cleaner.list(buildId);
      },
    });
    const registryDir = registry.directory;
    await cleanLeftovers({ dryRun: false, olderThanMs: 0, registryDir, openCleaner });
    expect(daemon.removed).toEqual(['c-a']);
    expect(registry.list().live.map(({ buildId }) => buildId)).toEqual(['b']);
  });

  it('lets nobody take the BUILD_ID while it cleans', async () => {
    const registry = openEmpty();
    registry.write(sampleRun({ buildId: 'a', orchestrator: dead, bootId: 'another', ...(await inDocker()) }));
    const taken: unknown[] = [];
    const { openCleaner } = fakeDaemon();
    const cleaner = await openCleaner();
    await cleanLeftovers({
      dryRun: false,
      olderThanMs: 0,
      registryDir: registry.directory,
      openCleaner: async () => ({
        ...cleaner,
        list: async (buildId) => {
          if (buildId === 'a') await registry.create(sampleRun({ buildId })).catch((error) => taken.push(error));
          return cleaner.list(buildId);
        },
      }),
    });
    expect(taken).toEqual([expect.any(BuildIdTakenError)]);
    expect(registry.read('a')).toBeNull();
  });

  it('finds processes of a run whose record is gone', async () => {
    const registry = openEmpty();
    const lost = sleeper(runMark('lost', registry.name));
    const request = { registryDir: registry.directory, openCleaner: noDaemon };
    await cleanLeftovers({ ...request, dryRun: false, olderThanMs: 60_000 });
    expect(isGone(lost.pid)).toBe(false);
    const plan = await cleanLeftovers({ ...request, dryRun: true, olderThanMs: 0 });
    expect(plan.removed).toEqual([`process ${lost.pid}, whose run is not known any more`]);
    await cleanLeftovers({ ...request, dryRun: false, olderThanMs: 0 });
    await expectSoon(() => isGone(lost.pid), 'ended');
  });

  it('spares nothing for a clock that was set back', async () => {
    const registry = openEmpty();
    registry.write(sampleRun({ buildId: 'ahead', orchestrator: dead, createdAt: '2099-01-01T00:00:00.000Z' }));
    const daemon = fakeDaemon(container('c-ahead', 'x', Date.parse('2099-01-01')));
    const registryDir = registry.directory;
    await cleanLeftovers({ dryRun: false, olderThanMs: 0, registryDir, openCleaner: daemon.openCleaner });
    expect(daemon.removed).toEqual(['c-ahead']);
    expect(registry.list().dead).toEqual([]);
  });

  it('reports a daemon that does not answer, and still removes the rest', async () => {
    const registry = openEmpty();
    const run = sampleRun({ orchestrator: dead, ...(await inDocker()) });
    registry.write(run);
    const report = await releaseDeadRun(run, { registry, openCleaner: noDaemon });
    expect(report.problems).toEqual([
      'containers of run sample could not be looked for: connect ENOENT /var/run/docker.sock; `lmcache-ci clean` removes them when the daemon answers again',
    ]);
    // Nobody else could tell that something is left.
    expect(registry.list().dead.map(({ buildId }) => buildId)).toEqual(['sample']);
    const again = await cleanLeftovers({
      dryRun: false,
      olderThanMs: 0,
      registryDir: registry.directory,
      openCleaner: noDaemon,
    });
    expect(again).toMatchObject({ removed: [], problems: report.problems });
  });

  it('asks no daemon for what a run without engines may have left', async () => {
    const registry = openEmpty();
    const run = sampleRun({ orchestrator: dead, runtime: 'docker' });
    registry.write(run);
    expect((await releaseDeadRun(run, { registry, openCleaner: noDaemon })).problems).toEqual([]);
    expect(registry.read('sample')).toBeNull();
  });

  it("ends what carries the mark while the daemon is away: it holds the machine's memory", async () => {
    const registry = openEmpty();
    const inContainer = sleeper(runMark('gone', registry.name));
    const { openCleaner } = fakeDaemon();
    const cleaner = await openCleaner();
    const log = new ReleaseLog();
    const released = await releaseStrays(sampleRun({ buildId: 'gone', orchestrator: dead, ...(await inDocker()) }), {
      graceMs: 1000,
      log,
      // It answers when the container's process has gone.
      openCleaner: async () => ({ ...cleaner, list: async () => (isGone(inContainer.pid) ? [] : noDaemon()) }),
      registryName: registry.name,
      daemonLimitMs: 5000,
    });
    expect(released).toEqual({ containersGone: true });
    expect(log.report()).toEqual({ removed: [`process ${inContainer.pid} (sleep 304)`], forced: [], problems: [] });
  });
});

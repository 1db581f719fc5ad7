import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it, vi } from 'vitest';
import { Keeper } from '../../engines/keeper.js';
import { connectKeeper } from '../../engines/keeper-client.js';
import type { LaunchSpec } from '../../engines/launch-spec.js';
import { joinFleet } from '../../engines/live-fleet.js';
import type { LiveRun } from '../../engines/live-run.js';
import { claimGpu, releaseGpu } from '../../engines/machine-claim.js';
import { readProcessEnvironment } from '../../engines/process-identity.js';
import { openRegistry, type Registry } from '../../engines/registry.js';
import type { CreateFleetOptions } from '../../engines/run-fleet.js';
import { orchestratorLostSchema } from '../../results-schema/orchestrator-lost.js';
import {
  expectSoon,
  fakeSpec,
  isFile,
  isGone,
  type JsonChild,
  sampleRun,
  startJsonChild,
  temporaryDirectory,
} from './engine-rig.js';

interface Situation {
  readonly orchestrator: JsonChild;
  readonly registry: Registry;
  readonly resultsDir: string;
  /** What the run had when it stood. */
  readonly run: LiveRun;
  readonly keeperPid: number;
  readonly enginePids: readonly number[];
  readonly ownPid: number;
}

async function orchestrate(
  specs: readonly LaunchSpec[],
  options: { after?: string; stopGraceMs?: number; verdictFollows?: boolean } = {},
): Promise<Situation> {
  const root = temporaryDirectory();
  const registry = openRegistry(path.join(root, 'registry'));
  const resultsDir = path.join(root, 'results');
  const fleet: CreateFleetOptions = {
    buildId: 'kept-run',
    engine: 'sim',
    runtime: 'process',
    resultsDir,
    ports: { vllm: 8000, baseline: 9000, lmcache: 6555, lmcacheHttp: 8080 },
    settings: { MODEL: 'some/model' },
    stopGraceMs: options.stopGraceMs ?? 5000,
    verdictFollows: options.verdictFollows === true,
    registryDir: registry.directory,
  };
  const after = options.after ?? 'wait';
  const orchestrator = startJsonChild('orchestrator.mjs', [JSON.stringify({ fleet, specs, after, child: true })]);
  const answer = await orchestrator.next();
  expect(answer).not.toHaveProperty('error');
  // Only now the engines have installed their signal handlers.
  for (const { name } of specs) {
    const log = path.join(resultsDir, 'logs', `${name}.log`);
    await expectSoon(() => isFile(log) && readFileSync(log, 'utf8').includes('serving'), `${name} serves`);
  }
  const run = registry.read('kept-run');
  if (!run?.keeper) throw new Error('no keeper in the record');
  const enginePids = Object.values(run.engines).flatMap(({ state }) =>
    state.status === 'starting' && state.handle.kind === 'process' ? [state.handle.pid] : [],
  );
  expect(enginePids).toHaveLength(specs.length);
  return {
    orchestrator,
    registry,
    resultsDir,
    run,
    keeperPid: run.keeper.pid,
    enginePids,
    ownPid: Number(answer['ownPid'] ?? 0),
  };
}

async function expectNothingLeft(situation: Situation, limitMs = 5000): Promise<void> {
  const pids = [situation.keeperPid, ...situation.enginePids, ...(situation.ownPid ? [situation.ownPid] : [])];
  await expectSoon(() => pids.every(isGone), `${pids.join(', ')} are gone`, limitMs);
  expect(situation.registry.list()).toEqual({ live: [], dead: [], foreign: [], unreadable: [] });
  expect(isFile(situation.run.socketPath ?? '')).toBe(false);
}

const readNote = ({ resultsDir }: Situation) =>
  orchestratorLostSchema.parse(JSON.parse(readFileSync(path.join(resultsDir, 'orchestrator-lost.json'), 'utf8')));

/** Epoch ms at which the fake engine said this. */
function timeIn({ resultsDir }: Situation, role: string, what: string): number {
  const log = readFileSync(path.join(resultsDir, 'logs', `${role}-fake.log`), 'utf8');
  return Number(new RegExp(`^${what} at (\\d+)$`, 'm').exec(log)?.[1] ?? Number.NaN);
}

const twoEngines = async () => [await fakeSpec('vllm', 'grandchild'), await fakeSpec('baseline')];

describe('when the orchestrator vanishes', () => {
  it('by SIGKILL, its engines, their children and its own children are gone within 5 s, and noted', async () => {
    const situation = await orchestrate(await twoEngines());
    process.kill(situation.orchestrator.pid, 'SIGKILL');
    await expectNothingLeft(situation);
    const note = readNote(situation);
    expect(note).toMatchObject({ buildId: 'kept-run', orchestratorAlive: false, forced: [], problems: [] });
    expect(note.removed).toEqual(
      expect.arrayContaining(['vllm-fake', 'baseline-fake', `process group ${situation.ownPid} (sleep 302)`]),
    );
  });

  it('with its whole process group, the same holds', async () => {
    const situation = await orchestrate(await twoEngines());
    process.kill(-situation.orchestrator.pid, 'SIGKILL');
    await expectNothingLeft(situation);
    expect(readNote(situation).removed).toContain('vllm-fake');
  });

  it('engines that ignore SIGTERM are killed within the same 5 s, and what left its group is found', async () => {
    const situation = await orchestrate([await fakeSpec('vllm', 'ignore-sigterm', 'stray')], { stopGraceMs: 60_000 });
    const log = readFileSync(path.join(situation.resultsDir, 'logs', 'vllm-fake.log'), 'utf8');
    const stray = Number(/^stray (\d+)$/m.exec(log)?.[1]);
    expect(isGone(stray)).toBe(false);
    process.kill(situation.orchestrator.pid, 'SIGKILL');
    await expectNothingLeft(situation);
    expect(isGone(stray)).toBe(true);
    expect(readNote(situation).forced).toEqual(['vllm-fake']);
    expect(readNote(situation).removed).toContain(`process ${stray} (sleep 301)`);
  });

  it('while it is releasing, the release goes on to its end, and nobody waits for a gentle one any more', async () => {
    const situation = await orchestrate([await fakeSpec('vllm', 'ignore-sigterm')], {
      after: 'release-and-die',
      stopGraceMs: 60_000,
    });
    const log = path.join(situation.resultsDir, 'logs', 'vllm-fake.log');
    situation.orchestrator.say('release');
    await expectSoon(() => readFileSync(log, 'utf8').includes('SIGTERM ignored'), 'the release has begun');
    situation.orchestrator.say('die');
    await expectNothingLeft(situation);
    expect(readNote(situation).forced).toEqual(['vllm-fake']);
  });

  it('between its release and the verdict, the run is lost all the same', async () => {
    const situation = await orchestrate([await fakeSpec('vllm')], { after: 'release-and-die', verdictFollows: true });
    situation.orchestrator.say('release');
    await expectSoon(() => situation.registry.read('kept-run') === null, 'released');
    expect(isGone(situation.keeperPid)).toBe(false);
    situation.orchestrator.say('die');
    await expectNothingLeft(situation);
    expect(readNote(situation)).toMatchObject({ orchestratorAlive: false, problems: [] });
    expect(readNote(situation).removed).toContain('vllm-fake');
  });

  it('after the verdict nothing is lost', async () => {
    const situation = await orchestrate([await fakeSpec('vllm')], { after: 'release-and-die', verdictFollows: true });
    situation.orchestrator.say('release');
    await expectSoon(() => situation.registry.read('kept-run') === null, 'released');
    writeFileSync(path.join(situation.resultsDir, 'events.jsonl'), '{"type":"run-started"}\n{"type":"run-finished"}\n');
    situation.orchestrator.say('die');
    await expectNothingLeft(situation);
    expect(isFile(path.join(situation.resultsDir, 'orchestrator-lost.json'))).toBe(false);
  });
});

describe('the keeper', () => {
  it('releases everything on SIGTERM and does not hear SIGINT and SIGHUP', async () => {
    const situation = await orchestrate(await twoEngines());
    process.kill(situation.keeperPid, 'SIGINT');
    process.kill(situation.keeperPid, 'SIGHUP');
    // It still answers.
    const fleet = await joinFleet(situation.run, { registryDir: situation.registry.directory });
    expect(fleet.state('vllm').status).toBe('starting');
    await fleet.close();
    process.kill(situation.keeperPid, 'SIGTERM');
    await expectNothingLeft(situation);
    expect(isFile(path.join(situation.resultsDir, 'orchestrator-lost.json'))).toBe(false);
  });

  it('does not carry what CI systems find the processes of a job by, to kill them at its end', async () => {
    vi.stubEnv('RUNNER_TRACKING_ID', 'github_1');
    vi.stubEnv('JENKINS_NODE_COOKIE', 'cookie');
    try {
      const situation = await orchestrate([]);
      const environment = readProcessEnvironment(situation.keeperPid);
      expect(environment?.get('PATH')).toBe(process.env['PATH']);
      expect([environment?.has('RUNNER_TRACKING_ID'), environment?.has('JENKINS_NODE_COOKIE')]).toEqual([false, false]);
      process.kill(situation.orchestrator.pid, 'SIGKILL');
      await expectNothingLeft(situation);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('lives in a session of its own, where no terminal reaches it', async () => {
    const { keeperPid, orchestrator } = await orchestrate([]);
    const session = (pid: number) =>
      execFileSync('ps', ['-o', 'sess=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    expect(session(keeperPid)).toBe(String(keeperPid));
    process.kill(orchestrator.pid, 'SIGKILL');
    await expectSoon(() => isGone(keeperPid), 'the keeper has ended');
  });

  it('ends engines before the cache server they use, and one that hangs holds it up for no longer than its grace', async () => {
    const lmcache = await fakeSpec('lmcache', 'ends-in-ms=0');
    const quick = await orchestrate([lmcache, await fakeSpec('vllm', 'ends-in-ms=400')], { after: 'release-and-die' });
    quick.orchestrator.say('release');
    await expectSoon(() => quick.registry.read('kept-run') === null, 'released');
    expect(timeIn(quick, 'lmcache', 'told to end')).toBeGreaterThanOrEqual(timeIn(quick, 'vllm', 'ends'));
    expect(timeIn(quick, 'lmcache', 'told to end') - timeIn(quick, 'vllm', 'ends')).toBeLessThan(900);

    const hanging = await orchestrate([lmcache, await fakeSpec('vllm', 'ignore-sigterm')], {
      after: 'release-and-die',
      stopGraceMs: 600,
    });
    const startedAt = performance.now();
    hanging.orchestrator.say('release');
    await expectSoon(() => hanging.registry.read('kept-run') === null, 'released');
    expect(performance.now() - startedAt).toBeLessThan(2000);
    expect(timeIn(hanging, 'lmcache', 'ends')).toBeGreaterThan(0);
  });

  it('outlives a detached run, which another process joins and releases', async () => {
    const situation = await orchestrate(await twoEngines(), { after: 'detach' });
    await expectSoon(() => isGone(situation.orchestrator.pid), 'the launching process has ended');
    const live = situation.registry.list().live[0];
    expect(live).toMatchObject({ buildId: 'kept-run', mode: 'detached', settings: { MODEL: 'some/model' } });
    expect(situation.enginePids.some(isGone)).toBe(false);
    // The launching process's own child went with it.
    expect(live?.processGroups).toEqual([]);
    if (!live) return;
    const events: string[] = [];
    const options = {
      registryDir: situation.registry.directory,
      onEvent: (event: object) => events.push(JSON.stringify(event)),
    };
    const fleet = await joinFleet(live, options);
    const signal = new AbortController().signal;
    expect(await fleet.waitUntilReady(['vllm', 'baseline'], { timeoutMs: 5000, signal })).toMatchObject({
      outcome: 'ready',
    });
    expect(situation.registry.read('kept-run')?.engines.vllm?.state.status).toBe('ready');
    const report = await fleet.release();
    expect([...report.removed].sort()).toEqual(['baseline-fake', 'vllm-fake']);
    expect(events.join()).toMatch(/engine-stopping.*engine-exited.*"expected":true/s);
    await expectNothingLeft(situation);
  });

  it('ends the children of a joined process that vanishes, and nothing else', async () => {
    const situation = await orchestrate([await fakeSpec('vllm')]);
    const joined = startJsonChild('joiner.mjs', [JSON.stringify(situation.run), situation.registry.directory]);
    const owned = Number((await joined.next())['ownPid']);
    expect(situation.registry.read('kept-run')?.processGroups.map((group) => group.pgid)).toContain(owned);
    process.kill(joined.pid, 'SIGKILL');
    await expectSoon(() => isGone(owned), 'the joined process left nothing');
    expect(situation.enginePids.some(isGone)).toBe(false);
    expect(isGone(situation.ownPid)).toBe(false);
    process.kill(situation.orchestrator.pid, 'SIGKILL');
    await expectNothingLeft(situation);
  });
});

describe('GPUs', () => {
  it('that one run has claimed no other of this machine gets, whatever its registry, until that run ends', async () => {
    const [first, second] = [await orchestrate([]), await orchestrate([])];
    expect(first.registry.directory).not.toBe(second.registry.directory);
    const [a, b, c] = ['a', 'b', 'c'].map((name) => `GPU-${name}-${randomUUID()}`);
    const claim = async ({ run }: Situation, ...uuids: readonly unknown[]) => {
      const keeper = await connectKeeper(run.socketPath ?? '');
      const facts = { index: 0, name: 'NVIDIA H200', memoryTotalMiB: 143_771, memoryFreeMiB: 143_156 };
      const gpus = uuids.map((uuid) => ({ ...facts, uuid: String(uuid) }));
      const { taken } = await keeper.request({ op: 'claim', gpus }).finally(() => keeper.close());
      return taken ?? null;
    };
    const gpusOf = ({ registry }: Situation) => registry.read('kept-run')?.gpus.map(({ uuid }) => uuid);
    expect(await claim(first, a, b)).toBeNull();
    expect(await claim(second, c, b)).toBe(b);
    expect(gpusOf(second)).toEqual([]);
    // It has given back what it had got so far, and the first one may take others instead.
    expect(await claim(first, a, c)).toBeNull();
    expect(await claim(second, b)).toBeNull();
    expect([gpusOf(first), gpusOf(second)]).toEqual([[a, c], [b]]);
    process.kill(first.orchestrator.pid, 'SIGKILL');
    await expectNothingLeft(first);
    expect(await claim(second, a, b, c)).toBeNull();
    process.kill(second.orchestrator.pid, 'SIGKILL');
    await expectNothingLeft(second);
  });

  it('are free again when the run is released, though its keeper waits for the verdict', async () => {
    const run = await orchestrate([], { after: 'release-and-die', verdictFollows: true });
    const uuid = `GPU-${randomUUID()}`;
    const keeper = await connectKeeper(run.run.socketPath ?? '');
    const gpus = [{ index: 0, uuid, name: 'x', memoryTotalMiB: 1, memoryFreeMiB: 1 }];
    await keeper.request({ op: 'claim', gpus }).finally(() => keeper.close());
    expect(await claimGpu(uuid)).toBe(false);
    run.orchestrator.say('release');
    await expectSoon(() => run.registry.read('kept-run') === null, 'released');
    expect(isGone(run.keeperPid)).toBe(false);
    // Its record goes first, the claim right behind it.
    await vi.waitUntil(() => claimGpu(uuid), { timeout: 5000 });
    releaseGpu(uuid);
    run.orchestrator.say('die');
    await expectNothingLeft(run);
  });
});

describe('a client that is cut off', () => {
  it('in the middle of an answer, by a reset, does not end the run', async () => {
    const situation = await orchestrate([await fakeSpec('vllm')]);
    const requests = Array.from({ length: 200 }, (_, id) => `${JSON.stringify({ id, op: 'join' })}\n`).join('');
    for (let round = 0; round < 5; round++) {
      const socket = connect(situation.run.socketPath ?? '');
      await once(socket, 'connect');
      await new Promise((resolve) => socket.write(requests, resolve));
      // Unread answers make the kernel reset the connection.
      socket.destroy();
      await once(socket, 'close');
    }
    const fleet = await joinFleet(situation.run, { registryDir: situation.registry.directory });
    expect(fleet.state('vllm').status).toBe('starting');
    await fleet.close();
    expect([situation.keeperPid, ...situation.enginePids].some(isGone)).toBe(false);
    process.kill(situation.orchestrator.pid, 'SIGKILL');
    await expectNothingLeft(situation);
  });

  it('is told what was wrong with its request', async () => {
    const situation = await orchestrate([]);
    const socket = connect(situation.run.socketPath ?? '');
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    const ask = async (line: string) => {
      socket.write(`${line}\n`);
      return JSON.parse(String((await lines.next()).value));
    };
    expect(await ask('not json')).toMatchObject({
      id: 0,
      ok: false,
      error: { message: 'Not a JSON line: "not json"' },
    });
    expect(await ask('{"id":7,"op":"dance"}')).toMatchObject({ id: 7, ok: false });
    expect(await ask('{"id":8,"op":"start","spec":{}}')).toMatchObject({ id: 8, ok: false });
    expect(await ask('{"id":9,"op":"join"}')).toMatchObject({ id: 9, ok: true, run: { buildId: 'kept-run' } });
    socket.destroy();
    process.kill(situation.orchestrator.pid, 'SIGKILL');
    await expectNothingLeft(situation);
  });
});

describe('an engine', () => {
  it('stands in the record before it is started', async () => {
    const registry = openRegistry(path.join(temporaryDirectory(), 'registry'));
    const seen: unknown[] = [];
    const keeper = new Keeper({
      registry,
      createRuntime: async (kind) => ({
        kind,
        start: async () => {
          seen.push(registry.read('sample')?.engines['vllm']?.state);
          throw new Error('as far as it goes');
        },
      }),
      openCleaner: () => Promise.reject(new Error('no daemon')),
      listen: async () => {},
      finish: () => {},
    });
    const connection = { kind: 'orchestrator', send: () => {} } as const;
    keeper.connect(connection);
    const say = (request: object) => keeper.receive(JSON.stringify(request), connection);
    await say({ id: 1, op: 'open', run: sampleRun({ resultsDir: temporaryDirectory() }), stopGraceMs: 0 });
    await say({ id: 2, op: 'start', spec: await fakeSpec('vllm') });
    await say({ id: 3, op: 'release' });
    expect(seen).toEqual([{ status: 'unstarted' }]);
  });
});

describe('when its record is removed', () => {
  it('writes it again, and can be joined as before', async () => {
    const situation = await orchestrate([await fakeSpec('vllm')], { after: 'detach' });
    await expectSoon(() => isGone(situation.orchestrator.pid), 'the launching process has ended');
    rmSync(situation.registry.directory, { recursive: true });
    await expectSoon(() => isFile(path.join(situation.registry.directory, 'kept-run.json')), 'the record is back');
    const [live] = situation.registry.list().live;
    if (!live) throw new Error('no live run');
    const fleet = await joinFleet(live, { registryDir: situation.registry.directory });
    expect((await fleet.release()).removed).toEqual(['vllm-fake']);
    await expectNothingLeft(situation);
  });
});

describe('when its registry is gone and cannot be made again', () => {
  it('it ends with its run all the same', async () => {
    const situation = await orchestrate([await fakeSpec('vllm')]);
    rmSync(situation.registry.directory, { recursive: true });
    writeFileSync(situation.registry.directory, '');
    process.kill(situation.orchestrator.pid, 'SIGKILL');
    await expectSoon(() => [situation.keeperPid, ...situation.enginePids].every(isGone), 'all is gone');
    expect(readNote(situation).removed).toContain('vllm-fake');
  });
});

describe('when the keeper hangs', () => {
  it('it counts as gone, and what it holds is removed', async () => {
    const situation = await orchestrate([await fakeSpec('vllm')]);
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const fleet = await joinFleet(situation.run, { registryDir: situation.registry.directory });
      vi.advanceTimersByTime(600_000);
      expect(fleet.state('vllm').status).toBe('starting');
      process.kill(situation.keeperPid, 'SIGSTOP');
      const released = fleet.release();
      for (let pings = 0; pings < 10; pings += 1) {
        await new Promise((resolve) => setImmediate(resolve));
        vi.advanceTimersByTime(3000);
      }
      expect((await released).removed.join()).toMatch(/process group \d+ .*fake-engine\.mjs/);
    } finally {
      vi.useRealTimers();
    }
    await expectNothingLeft(situation);
  });
});

describe('when the keeper itself is killed', () => {
  it('its fleet counts the engines as failed, and still removes everything', async () => {
    const situation = await orchestrate(await twoEngines());
    const fleet = await joinFleet(situation.run, { registryDir: situation.registry.directory });
    process.kill(situation.keeperPid, 'SIGKILL');
    const signal = new AbortController().signal;
    const readiness = await fleet.waitUntilReady(['vllm', 'lmcache'].slice(0, 1) as ['vllm'], {
      timeoutMs: 5000,
      signal,
    });
    expect(['ready', 'engine-died']).toContain(readiness.outcome);
    await expectSoon(() => fleet.state('vllm').status === 'failed', 'the loss is noticed');
    expect(await fleet.unexpectedExit()).toMatchObject({ exit: { code: null, signal: null } });
    await expect(fleet.launch([await fakeSpec('lmcache')], signal)).rejects.toThrow(/keeper of run "kept-run" is gone/);
    const report = await fleet.release();
    expect(report.problems).toEqual([]);
    expect(report.removed.join()).toMatch(/process group \d+ .*fake-engine\.mjs/);
    await expectNothingLeft(situation);
  });
});

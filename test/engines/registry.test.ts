import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { BuildIdTakenError, SeveralLiveRunsError } from '../../engines/errors.js';
import { identifySelf } from '../../engines/process-identity.js';
import { defaultRegistryDirectory, joinLiveRun, judgeLiveness, openRegistry } from '../../engines/registry.js';
import { sampleRun, startJsonChild, temporaryDirectory } from './engine-rig.js';

const openEmpty = () => openRegistry(path.join(temporaryDirectory(), 'registry'));

/** A pid that was free a moment ago. */
function deadPid(): number {
  return spawnSync('true').pid;
}

describe('the registry of live runs', () => {
  it('keeps records where only their user can read them, written whole', async () => {
    const registry = openEmpty();
    await registry.create(sampleRun());
    expect(statSync(registry.directory).mode & 0o777).toBe(0o700);
    expect(readdirSync(registry.directory)).toEqual(['sample.json']);
    expect(registry.read('sample')).toEqual(sampleRun());
    registry.remove('sample');
    expect(registry.read('sample')).toBeNull();
    expect(readdirSync(registry.directory)).toEqual([]);
  });

  it('refuses a directory that others may write, and a link', () => {
    const directory = temporaryDirectory();
    chmodSync(directory, 0o755);
    expect(() => openRegistry(directory)).toThrow(/mode 0700/);
    const link = path.join(directory, 'link');
    chmodSync(directory, 0o700);
    symlinkSync(directory, link);
    expect(() => openRegistry(link)).toThrow(/mode 0700/);
  });

  it('refuses a directory whose path is too long for its sockets, and leaves nothing there', () => {
    const deep = path.join(temporaryDirectory(), 'd'.repeat(90));
    expect(() => openRegistry(deep)).toThrow(/too long for a socket .* set XDG_RUNTIME_DIR to a shorter one/);
    expect(existsSync(deep)).toBe(false);
  });

  it('lies in the runtime directory, else below the temporary directory', () => {
    const directory = temporaryDirectory();
    expect(defaultRegistryDirectory({ XDG_RUNTIME_DIR: directory })).toBe(path.join(directory, 'lmcache-ci'));
    const fallback = defaultRegistryDirectory({ XDG_RUNTIME_DIR: path.join(directory, 'missing') });
    expect(path.basename(fallback)).toBe(`lmcache-ci-${process.getuid?.()}`);
  });

  it('refuses the BUILD_ID of a live run, and hands a dead one of the same id back', async () => {
    const registry = openEmpty();
    await registry.create(sampleRun());
    await expect(registry.create(sampleRun())).rejects.toThrow(BuildIdTakenError);
    await expect(registry.create(sampleRun())).rejects.toThrow(/BUILD_ID "sample" belongs to a live run/);
    const dead = sampleRun({ orchestrator: { pid: deadPid(), startTime: 1 } });
    registry.write(dead);
    expect(await registry.create(sampleRun())).toEqual({ replaced: dead });
  });

  it('removes what a process that was killed in the middle of a record has left, with that record', () => {
    const registry = openEmpty();
    registry.write(sampleRun({ buildId: 'a.5' }));
    const drafts = ['.a.5.4711.draft', '.a.4711.draft'];
    for (const name of drafts) writeFileSync(path.join(registry.directory, name), '{"vers');
    registry.remove('a');
    expect(readdirSync(registry.directory).sort()).toEqual(['.a.5.4711.draft', 'a.5.json']);
    registry.remove('a.5');
    expect(readdirSync(registry.directory)).toEqual([]);
  });

  it('tells live, dead and foreign runs and unreadable files apart', () => {
    const registry = openEmpty();
    const gone = { pid: process.pid, startTime: 1 };
    registry.write(sampleRun({ buildId: 'alive' }));
    registry.write(sampleRun({ buildId: 'reused-pid', orchestrator: gone }));
    registry.write(sampleRun({ buildId: 'other-boot', bootId: 'another' }));
    registry.write(sampleRun({ buildId: 'elsewhere', pidNamespace: 'pid:[1]' }));
    registry.write(sampleRun({ buildId: 'kept', mode: 'detached', orchestrator: gone, keeper: identifySelf() }));
    registry.write(sampleRun({ buildId: 'kept-no-more', mode: 'detached', keeper: gone }));
    writeFileSync(path.join(registry.directory, 'half.json'), '{"version": 1, "buildId": "ha');
    writeFileSync(path.join(registry.directory, 'later.json'), '{"version": 2}');
    writeFileSync(path.join(registry.directory, 'copied.json'), JSON.stringify(sampleRun({ buildId: 'alive' })));
    writeFileSync(path.join(registry.directory, 'notes.txt'), 'not a record');
    const { live, dead, foreign, unreadable } = registry.list();
    expect(live.map((run) => run.buildId)).toEqual(['alive', 'kept']);
    expect(dead.map((run) => run.buildId)).toEqual(['kept-no-more', 'other-boot', 'reused-pid']);
    expect(foreign.map((run) => run.buildId)).toEqual(['elsewhere']);
    expect(unreadable.map((file) => path.basename(file.path))).toEqual(['copied.json', 'half.json', 'later.json']);
    expect(unreadable.map((file) => file.problem).join()).toMatch(/names the run "alive".*JSON.*version/s);
  });

  it('takes an attached run for live while its keeper still cleans up', () => {
    const orchestrator = { pid: process.pid, startTime: 1 };
    expect(judgeLiveness(sampleRun({ orchestrator, keeper: identifySelf() }))).toBe('live');
    expect(judgeLiveness(sampleRun({ orchestrator, keeper: orchestrator }))).toBe('dead');
  });
});

describe('joining', () => {
  it('joins the only live run, none, or the one that was asked for', () => {
    const registry = openEmpty();
    const registryDir = registry.directory;
    expect(joinLiveRun({ buildId: null, registryDir })).toBeNull();
    registry.write(sampleRun({ buildId: 'one' }));
    registry.write(sampleRun({ buildId: 'dead', bootId: 'another' }));
    // Experiments have engines too, and nothing that a step of an mp-test could join.
    registry.write(sampleRun({ buildId: 'experiments', joinable: false }));
    expect(joinLiveRun({ buildId: null, registryDir })?.buildId).toBe('one');
    expect(joinLiveRun({ buildId: 'experiments', registryDir })).toBeNull();
    expect(joinLiveRun({ buildId: 'dead', registryDir })).toBeNull();
    registry.write(sampleRun({ buildId: 'two' }));
    expect(joinLiveRun({ buildId: 'two', registryDir })?.buildId).toBe('two');
    expect(() => joinLiveRun({ buildId: null, registryDir })).toThrow(SeveralLiveRunsError);
    expect(() => joinLiveRun({ buildId: null, registryDir })).toThrow(/BUILD_ID=one .*\n.*BUILD_ID=two /);
  });
});

describe('processes that race', () => {
  const gpu = (index: number) => ({
    index,
    uuid: `GPU-${index}`,
    name: 'NVIDIA H200',
    memoryTotalMiB: 143771,
    memoryUsedMiB: 0,
    memoryFreeMiB: 143156,
    utilizationPercent: 0,
    processes: [],
    migEnabled: false,
    eccEnabled: true,
  });
  const inventory = { driverVersion: null, cudaVersion: null, gpus: [gpu(0), gpu(1)], unreadable: [] };

  async function race(what: string, directory: string, texts: readonly string[]) {
    const racers = texts.map((text) => startJsonChild('registry-racer.mjs', [what, directory, text]));
    await Promise.all(racers.map((racer) => racer.next()));
    for (const racer of racers) racer.say('go');
    const answers = await Promise.all(racers.map((racer) => racer.next()));
    for (const racer of racers) racer.say('end');
    return answers;
  }

  it('never hold the lock at the same time', async () => {
    const registry = openEmpty();
    const counter = path.join(registry.directory, 'counter');
    writeFileSync(counter, '0');
    const answers = await race('count', registry.directory, ['', '', '']);
    expect(answers).toEqual([{ counted: true }, { counted: true }, { counted: true }]);
    expect(spawnSync('cat', [counter], { encoding: 'utf8' }).stdout).toBe('150');
    expect(readdirSync(registry.directory)).toEqual(['counter']);
  });

  it('never get the same BUILD_ID', async () => {
    const registry = openEmpty();
    const text = JSON.stringify({ run: sampleRun({ buildId: 'wanted' }), inventory });
    const answers = await race('create', registry.directory, [text, text]);
    expect(answers.filter((answer) => answer['created'])).toHaveLength(1);
    expect(answers.filter((answer) => answer['error'] === 'BuildIdTakenError')).toHaveLength(1);
  });

  it('never get the same GPU', async () => {
    const registry = openEmpty();
    const texts = ['a', 'b'].map((buildId) => JSON.stringify({ run: sampleRun({ buildId }), inventory }));
    const answers = await race('gpus', registry.directory, texts);
    expect(answers.filter((answer) => answer['gpus'])).toEqual([{ gpus: ['GPU-0', 'GPU-1'] }]);
    const [refused] = answers.filter((answer) => answer['error']);
    expect(refused).toMatchObject({ error: 'EngineStartError' });
    expect(String(refused?.['evidence'])).toMatch(/GPU 0 .*reserved by run [ab].*GPU 1 .*reserved by run [ab]/);
  });
});

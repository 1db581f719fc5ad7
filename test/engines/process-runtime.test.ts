import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { EngineStartError } from '../../engines/errors.js';
import type { LaunchSpec } from '../../engines/launch-spec.js';
import { looksOutOfMemory } from '../../engines/out-of-memory.js';
import { groupMembers } from '../../engines/process-groups.js';
import { createProcessRuntime } from '../../engines/process-runtime.js';
import { runLabels } from '../../engines/run-labels.js';
import type { StartedEngine } from '../../engines/runtime.js';
import { expectSoon, fakeSpec, temporaryDirectory } from './engine-rig.js';

const started: StartedEngine[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((engine) => engine.stop(0)));
});

async function start(spec: LaunchSpec, ours: NodeJS.ProcessEnv = process.env) {
  const logPath = path.join(temporaryDirectory(), 'logs', 'engine.log');
  const engine = await createProcessRuntime(ours).start(spec, logPath, runLabels('run-1', spec.role, 'here'));
  started.push(engine);
  const { handle } = engine;
  if (handle.kind !== 'process') throw new Error('not a process');
  const log = () => readFileSync(logPath, 'utf8');
  return { engine, log, group: { pgid: handle.pid, startTime: handle.startTime } };
}

const said = (log: () => string, text: string) => expectSoon(() => log().includes(text), text);

describe('an engine as a child process', () => {
  it('leads its own group, logs without colours, ends by SIGTERM', async () => {
    const { engine, log, group } = await start(await fakeSpec('vllm'));
    await said(log, 'serving');
    expect(groupMembers(group).map((member) => member.pid)).toEqual([group.pgid]);
    expect(log()).toMatch(/^fake engine on port \d+$/m);
    expect(log()).toContain('last words go to stderr');
    expect(await engine.stop(5000)).toEqual({ forced: false });
    expect(await engine.exited).toMatchObject({ code: null, signal: 'SIGTERM', outOfMemory: false });
    expect(await engine.stop(5000)).toEqual({ forced: false });
  });

  it('tells its exit code when it ends by itself, with its last words in the log', async () => {
    const { engine, log } = await start(await fakeSpec('vllm', 'exit=7'));
    expect(await engine.exited).toMatchObject({ code: 7, signal: null, outOfMemory: false });
    expect(log()).toContain('RuntimeError: the fake engine was told to fail');
  });

  it('is killed, and says so, when it ignores SIGTERM', async () => {
    const { engine, log } = await start(await fakeSpec('vllm', 'ignore-sigterm'));
    await said(log, 'serving');
    expect(await engine.stop(200)).toEqual({ forced: true });
    expect(await engine.exited).toMatchObject({ code: null, signal: 'SIGKILL', outOfMemory: false });
  });

  it('takes its own children with it, also those that outlived it', async () => {
    const { engine, log, group } = await start(await fakeSpec('vllm', 'grandchild'));
    await said(log, 'serving');
    expect(groupMembers(group)).toHaveLength(2);
    process.kill(group.pgid, 'SIGKILL');
    await engine.exited;
    expect(groupMembers(group)).toHaveLength(1);
    await engine.stop(2000);
    expect(groupMembers(group)).toEqual([]);
  });

  it('gets an environment of its own, without our settings', async () => {
    const spec = { ...(await fakeSpec('vllm', 'print-environment')), environment: { SIM_SPEED: '10' } };
    const { log } = await start(spec, { PATH: process.env['PATH'], VLLM_PORT: '8000', SIM_SPEED: '3' });
    await said(log, 'serving');
    const printed: unknown = JSON.parse(/^\{.*\}$/m.exec(log())?.[0] ?? '');
    expect(printed).toEqual({ PATH: process.env['PATH'], SIM_SPEED: '10' });
  });

  it('that is not installed is a missing tool', async () => {
    const spec = { ...(await fakeSpec('vllm')), command: ['no-such-vllm', 'serve'] };
    const failure = start(spec);
    await expect(failure).rejects.toThrow(EngineStartError);
    await expect(failure).rejects.toMatchObject({
      failureCause: 'tool-missing',
      message: expect.stringContaining('"no-such-vllm" of vllm-fake cannot be started'),
    });
  });

  it('whose log cannot be written is a full or forbidden disk, and nothing is started', async () => {
    const file = path.join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    const start = createProcessRuntime().start(await fakeSpec('vllm'), path.join(file, 'x.log'), {});
    await expect(start).rejects.toMatchObject({ failureCause: 'disk' });
  });
});

describe('a process group is known by its leader', () => {
  it('and not taken for ours when the pid was given to another', async () => {
    const { log, group } = await start(await fakeSpec('vllm'));
    await said(log, 'serving');
    expect(groupMembers({ ...group, startTime: group.startTime - 1 })).toEqual([]);
    expect(groupMembers({ ...group, startTime: group.startTime + 1 })).toEqual([]);
  });
});

describe('the guess at an out-of-memory kill', () => {
  const kill = { signal: 'SIGKILL', killedByUs: false, killsBefore: 3, killsAfter: 4 };

  it('needs a SIGKILL that was not ours while the kernel counted a kill', () => {
    expect(looksOutOfMemory(kill)).toBe(true);
    expect(looksOutOfMemory({ ...kill, signal: 'SIGTERM' })).toBe(false);
    expect(looksOutOfMemory({ ...kill, killedByUs: true })).toBe(false);
    expect(looksOutOfMemory({ ...kill, killsAfter: 3 })).toBe(false);
    expect(looksOutOfMemory({ ...kill, killsBefore: null })).toBe(false);
  });
});

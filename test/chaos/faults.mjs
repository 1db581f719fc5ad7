// Each fault: does its harm to a run in an arena and says whether the run's end names the right reason.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { killQuietly } from './arena.mjs';

const interrupted = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 };
const roles = ['lmcache', 'vllm', 'baseline'];

/** A program of the machine. */
const tool = (program, ...args) => spawnSync(program, args, { encoding: 'utf8' });

/** A run that was over before the fault came is judged as a passed run. */
const hasPassed = (end, results) => end.code === 0 && results.verdict?.outcome === 'passed';

function killOrchestrator(signal, wholeGroup) {
  return {
    name: `${wholeGroup ? "orchestrator's group" : 'orchestrator'} ${signal === 'SIGKILL' ? '-9' : signal.replace('SIG', '-')}`,
    runtimes: ['process', 'docker'],
    async inflict(arena, moment) {
      const run = arena.start();
      await Promise.race([run.ended, delay(moment.afterMs)]);
      killQuietly(wholeGroup ? -run.pid : run.pid, signal);
      return await run.ended;
    },
    isRight(end, results) {
      if (hasPassed(end, results)) return true;
      const code = interrupted[signal];
      if (code !== undefined && end.code === code) return results.verdict?.outcome === 'interrupted';
      // Killed, or told to end before it had begun to listen.
      if (end.signal !== signal) return false;
      const hadKeeper = results.events.some(({ type }) => type === 'step-started');
      return !hadKeeper || ['orchestrator-lost', 'finished'].includes(results.status.state);
    },
  };
}

function killEngine(role) {
  return {
    name: `${role} killed`,
    runtimes: ['process'],
    async inflict(arena, moment) {
      const run = arena.start();
      const pid = await arena.enginePid(role, run.ended);
      await Promise.race([run.ended, delay(moment.afterMs / 2)]);
      if (pid !== null) killQuietly(pid, 'SIGKILL');
      return await run.ended;
    },
    isRight: (end, results) =>
      hasPassed(end, results) ||
      (end.code === 3 && results.verdict?.reason === 'infrastructure' && results.verdict.cause === 'engine-died'),
  };
}

function freezeEngine(role) {
  return {
    name: `${role} frozen`,
    runtimes: ['process'],
    async inflict(arena, moment) {
      const run = arena.start({ MAX_WAIT_SECONDS: '4', TEST_TIMEOUT_SECONDS: '4' });
      const pid = await arena.enginePid(role, run.ended);
      await Promise.race([run.ended, delay(moment.afterMs / 4)]);
      if (pid !== null) killQuietly(pid, 'SIGSTOP');
      return await run.ended;
    },
    // Frozen at the very end, or a cache that is not asked any more: the run may pass, and still must be cleaned up.
    isRight: (end, results) =>
      hasPassed(end, results) || (end.code === 3 && ['timeout', 'engine-unreachable'].includes(results.verdict?.cause)),
  };
}

const portTaken = {
  name: 'port taken',
  runtimes: ['process', 'docker'],
  async inflict(arena, moment) {
    const server = createServer();
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const names = ['VLLM_PORT', 'VLLM_BASELINE_PORT', 'LMCACHE_PORT', 'LMCACHE_HTTP_PORT'];
    try {
      return await arena.start({ [moment.choose(names)]: String(server.address().port) }).ended;
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  },
  isRight: (end, results) => end.code === 3 && results.verdict?.cause === 'port-taken',
};

const diskFull = {
  name: 'results disk full',
  runtimes: ['process'],
  // Mounting is root's; elsewhere the fault cannot be made.
  isPossible: () => process.getuid() === 0,
  async inflict(arena, moment) {
    const mount = path.join(arena.directory, 'small');
    mkdirSync(mount);
    const sizeKiB = 4 * (3 + Math.floor(moment.fraction * 12));
    const mounted = tool('mount', '-t', 'tmpfs', '-o', `size=${sizeKiB}k`, 'tmpfs', mount);
    if (mounted.status !== 0) throw new Error(`no tmpfs could be mounted: ${mounted.stderr}`);
    arena.faultyResults = path.join(mount, 'results');
    const end = await arena.start({ RESULTS_DIR: arena.faultyResults }).ended;
    arena.afterwards = () => tool('umount', '-l', mount);
    return end;
  },
  isRight: (end) => end.code === 0 || (end.code === 3 && /ENOSPC|no space left/i.test(end.output())),
};

/** All faults, those that are tried most often first. */
export const faults = [
  killOrchestrator('SIGKILL', false),
  killOrchestrator('SIGKILL', true),
  killOrchestrator('SIGTERM', false),
  killOrchestrator('SIGINT', true),
  ...roles.map(killEngine),
  ...roles.map(freezeEngine),
  portTaken,
  diskFull,
];

// The machine: ports, disk, clock.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hasPassed, isFailure } from './ends.mjs';

/** A program of the machine. */
const tool = (program, ...args) => spawnSync(program, args, { encoding: 'utf8' });

const portTaken = {
  name: 'port taken',
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
  isRight: (end, results) => isFailure(end, results, 'infrastructure', ['port-taken']),
};

const diskFull = {
  name: 'results disk full',
  // Mounting is root's; elsewhere the fault cannot be made.
  isPossible: () => process.getuid() === 0,
  async inflict(arena, moment) {
    const mount = path.join(arena.directory, 'small');
    mkdirSync(mount);
    const sizeKiB = 4 * (3 + Math.floor(moment.fraction * 12));
    const mounted = tool('mount', '-t', 'tmpfs', '-o', `size=${sizeKiB}k`, 'tmpfs', mount);
    if (mounted.status !== 0) throw new Error(`no tmpfs could be mounted: ${mounted.stderr}`);
    arena.afterwards = () => tool('umount', '-l', mount);
    arena.faultyResults = path.join(mount, 'results');
    return await arena.start({ RESULTS_DIR: arena.faultyResults }).ended;
  },
  // A run.json may not fit any more: what was said counts.
  isRight: (end) => end.code === 0 || (end.code === 3 && /ENOSPC|no space left/i.test(end.output())),
};

const fakeClock = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib/faketime']
  .flatMap((folder) => [path.join(folder, 'faketime'), folder])
  .map((folder) => path.join(folder, 'libfaketimeMT.so.1'))
  .find((file) => existsSync(file));

/** The time of day jumps in the orchestrator and its keeper; what counts on a steady clock must not notice. */
const clockJumps = {
  name: 'wall clock jumps',
  isPossible: () => fakeClock !== undefined,
  async inflict(arena, moment) {
    const clock = path.join(arena.directory, 'clock');
    writeFileSync(clock, moment.choose(['+0', '-400d', '+3d']));
    const run = arena.start({
      LD_PRELOAD: fakeClock,
      FAKETIME_TIMESTAMP_FILE: clock,
      FAKETIME_NO_CACHE: '1',
      // Only the time of day: not the steady clock, not the times of files.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    });
    await Promise.race([run.ended, delay(moment.afterMs)]);
    writeFileSync(clock, moment.choose(['-1h', '+1h', '-30d', '+30d']));
    return await run.ended;
  },
  isRight: hasPassed,
};

export const machineFaults = [portTaken, diskFull, clockJumps];

// The Docker daemon is killed and started again; a private one, never the machine's.
import { setTimeout as delay } from 'node:timers/promises';
import { killQuietly } from './arena.mjs';
import { hasPassed, isFailure } from './ends.mjs';
import { endsAsKilled } from './orchestrator-faults.mjs';

const awayMs = 1500;

const restarted = {
  name: 'daemon killed, started again',
  async inflict(arena, moment, daemon) {
    const run = arena.start();
    await Promise.race([run.ended, delay(moment.afterMs)]);
    await daemon.kill();
    await delay(awayMs);
    await daemon.restart();
    return await run.ended;
  },
  isRight: (end, results) =>
    hasPassed(end, results) ||
    isFailure(end, results, 'infrastructure', ['daemon-unreachable', 'engine-died', 'engine-unreachable', 'timeout']),
};

const bothKilled = {
  name: 'daemon and orchestrator killed, daemon started again',
  async inflict(arena, moment, daemon) {
    const run = arena.start();
    await Promise.race([run.ended, delay(moment.afterMs)]);
    await daemon.kill();
    killQuietly(run.pid, 'SIGKILL');
    const end = await run.ended;
    await delay(awayMs);
    // What is left is counted from here on.
    await daemon.restart();
    return end;
  },
  isRight: (end, results) => endsAsKilled('SIGKILL', end, results),
};

export const daemonFaults = [restarted, bothKilled];

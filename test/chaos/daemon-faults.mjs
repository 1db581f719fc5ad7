// The Docker daemon is killed and started again; a private one, never the machine's.
import { setTimeout as delay } from 'node:timers/promises';
import { killQuietly } from './arena.mjs';
import { hasPassed, isFailure } from './ends.mjs';
import { endsAsKilled } from './orchestrator-faults.mjs';

const awayMs = 1500;

const isRightWithoutDaemon = (end, results) =>
  hasPassed(end, results) ||
  isFailure(end, results, 'infrastructure', ['daemon-unreachable', 'engine-died', 'engine-unreachable', 'timeout']);

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
  isRight: isRightWithoutDaemon,
};

/** How long the three containers take to start, from the first that is there. */
const startsMs = 800;

/** Started again it does not know of what it was just starting, and so ends none of it. */
const killedWhileStarting = {
  name: 'daemon killed while it starts engines',
  async inflict(arena, moment, daemon) {
    const run = arena.start();
    await arena.firstContainer(run.ended);
    await Promise.race([run.ended, delay(moment.fraction * startsMs)]);
    await daemon.kill();
    await delay(moment.choose([0, awayMs]));
    await daemon.restart();
    return await run.ended;
  },
  isRight: isRightWithoutDaemon,
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

export const daemonFaults = [restarted, killedWhileStarting, bothKilled];

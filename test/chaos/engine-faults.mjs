// An engine is killed or frozen, in a process or in a container.
import { setTimeout as delay } from 'node:timers/promises';
import { killQuietly } from './arena.mjs';
import { hasPassed, isFailure } from './ends.mjs';

const roles = ['lmcache', 'vllm', 'baseline'];

async function signalEngine(arena, role, signal, afterMs, environment) {
  const run = arena.start(environment);
  const pid = await arena.enginePid(role, run.ended);
  await Promise.race([run.ended, delay(afterMs)]);
  if (pid !== null) killQuietly(pid, signal);
  return await run.ended;
}

function killEngine(role) {
  return {
    name: `${role} killed`,
    inflict: (arena, moment) => signalEngine(arena, role, 'SIGKILL', moment.afterMs / 2, {}),
    isRight: (end, results) => hasPassed(end, results) || isFailure(end, results, 'infrastructure', ['engine-died']),
  };
}

function freezeEngine(role) {
  return {
    name: `${role} frozen`,
    inflict: (arena, moment) =>
      signalEngine(arena, role, 'SIGSTOP', moment.afterMs / 4, { MAX_WAIT_SECONDS: '4', TEST_TIMEOUT_SECONDS: '4' }),
    // Frozen at the very end, or a cache that is not asked any more: the run may pass, and still must be cleaned up.
    isRight: (end, results) =>
      hasPassed(end, results) ||
      isFailure(end, results, 'infrastructure', ['timeout', 'engine-unreachable']) ||
      isFailure(end, results, 'unknown', ['timeout', 'engine-unreachable']),
  };
}

export const engineFaults = [...roles.map(killEngine), ...roles.map(freezeEngine)];

// The orchestrator is killed, alone or with its whole group; its keeper is.
import { setTimeout as delay } from 'node:timers/promises';
import { killQuietly } from './arena.mjs';
import { hasPassed, isFailure } from './ends.mjs';

const interrupted = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 };

/** A run whose orchestrator gets a signal after a time. @returns its end */
export async function killedRun(arena, signal, wholeGroup, afterMs, environment = {}) {
  const run = arena.start(environment);
  await Promise.race([run.ended, delay(afterMs)]);
  killQuietly(wholeGroup ? -run.pid : run.pid, signal);
  return await run.ended;
}

/** Passed before the signal came, interrupted with a verdict, or killed with a note of the keeper. */
export function endsAsKilled(signal, end, results) {
  if (hasPassed(end, results)) return true;
  const code = interrupted[signal];
  if (code !== undefined && end.code === code) return results.verdict?.outcome === 'interrupted';
  // Killed, or told to end before it had begun to listen.
  if (end.signal !== signal) return false;
  const hadRun = results.events.some(({ type }) => type === 'step-started');
  return !hadRun || ['orchestrator-lost', 'finished'].includes(results.status.state);
}

function killOrchestrator(signal, wholeGroup) {
  const how = signal === 'SIGKILL' ? '-9' : signal.replace('SIG', '-');
  return {
    name: `${wholeGroup ? "orchestrator's group" : 'orchestrator'} ${how}`,
    inflict: (arena, moment) => killedRun(arena, signal, wholeGroup, moment.afterMs),
    isRight: (end, results) => endsAsKilled(signal, end, results),
  };
}

function signalKeeper(name, signal) {
  return {
    name,
    async inflict(arena, moment) {
      const run = arena.start();
      const pid = await arena.keeperPid(run.ended);
      await Promise.race([run.ended, delay(moment.afterMs / 2)]);
      if (pid !== null) killQuietly(pid, signal);
      return await run.ended;
    },
    isRight: (end, results) =>
      hasPassed(end, results) || isFailure(end, results, 'infrastructure', ['engine-died', 'orchestrator-lost']),
  };
}

export const orchestratorFaults = [
  killOrchestrator('SIGKILL', false),
  killOrchestrator('SIGKILL', true),
  killOrchestrator('SIGTERM', false),
  killOrchestrator('SIGINT', true),
  killOrchestrator('SIGHUP', true),
  signalKeeper('keeper -9', 'SIGKILL'),
  // It never answers again: it counts as gone, and is ended with what it holds.
  signalKeeper('keeper frozen', 'SIGSTOP'),
];

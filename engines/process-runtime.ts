import { type ChildProcess, spawn } from 'node:child_process';
import { engineEnvironment } from './engine-environment.js';
import { openOutputLog } from './engine-log.js';
import type { EngineExit } from './engine-state.js';
import { EngineStartError } from './errors.js';
import type { LaunchSpec } from './launch-spec.js';
import { kernelOomKills, looksOutOfMemory } from './out-of-memory.js';
import { type EndOutcome, endGroup } from './process-groups.js';
import { identifyProcess } from './process-identity.js';
import { survived } from './release-leftovers.js';
import type { EngineRuntime, StartedEngine } from './runtime.js';

/** Output that grandchildren still hold open after the engine's end is waited for this long. */
const lastOutputMs = 300;

/**
 * Engines as child processes, each the leader of its own session and process group, so that a Ctrl-C of the
 * terminal does not reach them. The environment is an allow-list plus the spec's own, see engine-environment.ts.
 */
export function createProcessRuntime(ours: NodeJS.ProcessEnv = process.env): EngineRuntime {
  return { kind: 'process', start: (spec, logPath) => startProcess(spec, logPath, ours) };
}

async function startProcess(spec: LaunchSpec, logPath: string, ours: NodeJS.ProcessEnv): Promise<StartedEngine> {
  const [program, ...firstArgs] = spec.command;
  if (program === undefined) throw new Error(`The launch spec of "${spec.name}" names no command`);
  const log = await openOutputLog(spec, logPath);
  const killsBefore = kernelOomKills();
  const child = spawn(program, [...firstArgs, ...spec.args], {
    env: engineEnvironment(ours, spec.environment),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  // Read at once: the pid stays reserved until its end has been handed to us.
  const startTime = child.pid === undefined ? 0 : (identifyProcess(child.pid)?.startTime ?? 0);
  log.follow(child.stdout, child.stderr);
  const ended = exitOf(child);
  const pid = await spawned(child).catch(async (error: unknown) => {
    await log.close();
    throw new EngineStartError(
      `"${program}" of ${spec.name} cannot be started: ${messageOf(error)}. ` +
        'Install it and put it on PATH, or run with RUNTIME=docker or ENGINE=sim.',
      { failureCause: 'tool-missing', cause: error },
    );
  });

  let killedByUs = false;
  const exited = ended.then(async (end): Promise<EngineExit> => {
    await log.close();
    const outOfMemory = looksOutOfMemory({
      signal: end.signal,
      killedByUs,
      killsBefore,
      killsAfter: kernelOomKills(),
    });
    return { ...end, outOfMemory, at: new Date().toISOString() };
  });
  const stopOnce = async (graceMs: number, hurry?: AbortSignal): Promise<EndOutcome> => {
    killedByUs = true;
    const outcome = await endGroup({ pgid: pid, startTime }, graceMs, hurry);
    if (outcome.gone) await exited;
    return outcome;
  };
  let stopping: Promise<EndOutcome> | null = null;
  return {
    handle: { kind: 'process', pid, startTime },
    exited,
    async stop(graceMs, hurry) {
      stopping ??= stopOnce(graceMs, hurry);
      const { forced, gone, holders } = await stopping;
      if (!gone) throw new Error(survived(`process group ${pid}`, holders));
      return { forced };
    },
  };
}

function spawned(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => {
      if (child.pid === undefined) reject(new Error('it has no pid'));
      else resolve(child.pid);
    });
  });
}

/** Its end, and with it its last output, but not for ever where a grandchild keeps the pipes. */
function exitOf(child: ChildProcess): Promise<{ readonly code: number | null; readonly signal: string | null }> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      const timer = setTimeout(() => resolve({ code, signal }), lastOutputMs);
      child.once('close', () => {
        clearTimeout(timer);
        resolve({ code, signal });
      });
    });
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

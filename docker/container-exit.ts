import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineExit } from '../engines/engine-state.js';
import type { ContainerHost } from './container-host.js';
import { DockerError } from './errors.js';

/** How long a daemon that does not answer is asked again before the container counts as lost. */
const daemonPatienceMs = 30_000;
const retryMs = 500;

/**
 * Resolves once the container has ended, with what the daemon knows of it. A container that is lost with its
 * daemon, or that somebody removed before it could be looked at, ends with code and signal null.
 * @param signal gives up watching; the promise then resolves in the same way. Never rejects.
 */
export async function containerExit(host: ContainerHost, id: string, signal: AbortSignal): Promise<EngineExit> {
  let failingSince: number | null = null;
  while (!signal.aborted) {
    try {
      const exitCode = await host.waitForExit(id, signal);
      const state = await host.inspectContainer(id);
      return exitOf(state?.exitCode ?? exitCode, state?.oomKilled ?? false, state?.finishedAt ?? null);
    } catch (error) {
      if (error instanceof DockerError && error.kind === 'container-missing') break;
      failingSince ??= performance.now();
      if (performance.now() - failingSince > daemonPatienceMs) break;
      await delay(retryMs, undefined, { signal }).catch(() => {});
    }
  }
  return { code: null, signal: null, outOfMemory: false, at: new Date().toISOString() };
}

/**
 * Docker reports a process that a signal ended as 128 + its number, the shells' convention; engines that catch
 * SIGTERM and exit with 143 mean the same. `outOfMemory` is the daemon's flag, which is also set when the kernel
 * killed only a child of a container that ended otherwise.
 */
export function exitOf(exitCode: number, oomKilled: boolean, finishedAt: string | null): EngineExit {
  const signal = Object.entries(constants.signals).find(([, number]) => exitCode === 128 + number)?.[0] ?? null;
  return {
    code: signal === null ? exitCode : null,
    signal,
    outOfMemory: oomKilled,
    at: finishedAt === null ? new Date().toISOString() : new Date(finishedAt).toISOString(),
  };
}

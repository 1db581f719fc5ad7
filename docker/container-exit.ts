import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineExit } from '../engines/engine-state.js';
import type { ContainerHost } from './container-host.js';
import { DockerError } from './errors.js';

/** How long a daemon that does not answer is asked again before the container counts as lost. */
const daemonPatienceMs = 30_000;
const retryMs = 500;
const defaultLookMs = 10_000;

/**
 * Resolves once the container has ended, with what the daemon knows of it. A container that is lost with its
 * daemon, or that somebody removed before it could be looked at, ends with code and signal null.
 * @param signal gives up watching; the promise then resolves in the same way. Never rejects.
 * @param lookMs how often it looks itself, whatever the daemon's waiting call says
 */
export async function containerExit(
  host: ContainerHost,
  id: string,
  signal: AbortSignal,
  lookMs = defaultLookMs,
): Promise<EngineExit> {
  let failingSince: number | null = null;
  while (!signal.aborted) {
    try {
      const exitCode = await waitForExit(host, id, signal, lookMs);
      const state = await host.inspectContainer(id);
      const exit = exitOf(state?.exitCode ?? exitCode, state?.oomKilled ?? false, state?.finishedAt ?? null);
      return failingSince === null ? exit : { ...exit, daemonLost: true };
    } catch (error) {
      if (error instanceof DockerError && error.kind === 'container-missing') break;
      failingSince ??= performance.now();
      if (performance.now() - failingSince > daemonPatienceMs) break;
      await delay(retryMs, undefined, { signal }).catch(() => {});
    }
  }
  return { code: null, signal: null, outOfMemory: false, at: new Date().toISOString() };
}

/** Looks itself from time to time: a daemon that was killed and started again may never answer a waiting call. */
async function waitForExit(host: ContainerHost, id: string, signal: AbortSignal, lookMs: number): Promise<number> {
  for (;;) {
    const look = AbortSignal.timeout(lookMs);
    try {
      return await host.waitForExit(id, AbortSignal.any([signal, look]));
    } catch (error) {
      if (!look.aborted || signal.aborted) throw error;
    }
    const state = await host.inspectContainer(id);
    if (state === null) throw new DockerError('container-missing', `container "${id}" is gone`);
    if (!state.running) return state.exitCode;
  }
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

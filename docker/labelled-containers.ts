import { describeProcess } from '../engines/process-identity.js';
import type { ContainerHost, ContainerSummary } from './container-host.js';

/**
 * Containers, running or not, that carry all these labels.
 * @param labels a null value asks for the label with any value, e.g. `{ 'ci.lmcache.build-id': null }`.
 * @throws DockerError
 */
export async function listByLabel(
  host: ContainerHost,
  labels: Readonly<Record<string, string | null>>,
): Promise<readonly ContainerSummary[]> {
  return await host.listContainers(
    Object.entries(labels).map(([name, value]) => (value === null ? name : `${name}=${value}`)),
  );
}

/** What a container that does not go is held by: `; it is running: process 4711 (vllm serve ...), state D in nv_ioctl`. Never throws. */
export async function describeHolder(host: ContainerHost, idOrName: string): Promise<string> {
  try {
    const state = await host.inspectContainer(idOrName);
    if (state === null) return '';
    const holder = state.pid > 0 ? `: ${describeProcess(state.pid)}` : '';
    return `; it is ${state.status}${holder}`;
  } catch {
    // The daemon is the trouble then, and told already.
    return '';
  }
}

/**
 * SIGTERM, SIGKILL after `graceMs`, then removal; for containers another process started.
 * @returns `existed` false when it was gone; `forced` when SIGKILL was needed.
 * @throws DockerError, SurvivorError
 */
export async function stopAndRemoveContainer(
  host: ContainerHost,
  id: string,
  graceMs: number,
): Promise<{ readonly existed: boolean; readonly forced: boolean }> {
  let forced = false;
  if (await host.killContainer(id, 'SIGTERM')) {
    const grace = new AbortController();
    const timer = setTimeout(() => grace.abort(), graceMs);
    const ended = await host.waitForExit(id, grace.signal).then(
      () => true,
      () => false,
    );
    clearTimeout(timer);
    if (!ended) forced = await host.killContainer(id, 'SIGKILL');
  }
  const removal = await host.removeContainer(id);
  return { existed: removal.existed, forced: forced || removal.forced };
}

import { SurvivorError } from '../engines/errors.js';
import { endProcesses } from '../engines/process-groups.js';
import { listProcesses, type ProcessStat, readCommandLine } from '../engines/process-identity.js';
import { waitUntil } from '../engines/wait-until.js';

/** A shim whose container was removed in order ends by itself, a moment before or after the daemon says so. */
const endsByItselfMs = 2000;

/**
 * Ends what a removed container has left. A daemon that is killed while it starts a container takes it, started again,
 * for one that never ran (seen on 20.10): its removal then leaves containerd's shim, and below it the container's
 * program, or the `runc init` that was to become it. Without its shim containerd forgets the container too.
 * @param containerId the whole id; a daemon on another machine has no process here, and nothing is done
 * @returns whether there was something to end
 * @throws SurvivorError when it cannot be ended: it is root's
 */
export async function endForgottenTask(
  containerId: string,
  patienceMs = endsByItselfMs,
): Promise<{ readonly forced: boolean }> {
  if (shimOf(containerId) === null) return { forced: false };
  if (await waitUntil(() => shimOf(containerId) === null, patienceMs)) return { forced: false };
  const shim = shimOf(containerId);
  if (shim === null) return { forced: false };
  const children = listProcesses().filter(({ parentPid }) => parentPid === shim.pid);
  const { gone, holders } = await endProcesses([...children, shim], 0);
  if (gone) return { forced: true };
  throw new SurvivorError(
    `container "${containerId}" was removed, but its daemon had forgotten that it runs, and only root can end it: ${holders.join('; ')}`,
  );
}

/** `containerd-shim-runc-v2 -namespace moby -id ID -address ...` */
function shimOf(containerId: string): ProcessStat | null {
  const isShim = (command: string) => command.includes('containerd-shim') && command.includes(` -id ${containerId} `);
  return listProcesses().find(({ pid }) => isShim(readCommandLine(pid) ?? '')) ?? null;
}

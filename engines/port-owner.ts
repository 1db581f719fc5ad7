import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { LiveRun } from './live-run.js';
import { readCommandLine } from './process-identity.js';
import type { Registry } from './registry.js';

/** Who listens on a TCP port of this machine. */
export interface PortOwner {
  readonly port: number;
  /** null when the process belongs to another user, so that only its socket is seen. */
  readonly pid: number | null;
  readonly command: string | null;
  /** User id of the socket's owner. */
  readonly uid: number | null;
  /** Our own live run, if it is one. */
  readonly buildId: string | null;
}

interface Listener {
  readonly port: number;
  readonly uid: number;
  readonly inode: string;
}

const listenState = '0A';

/** The listening sockets of a table as /proc/net/tcp has it (proc_pid_net(5)): addresses in hex, state, uid, inode. */
export function parseListeners(table: string): Listener[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line): Listener[] => {
      const fields = line.trim().split(/\s+/);
      const [, local = '', , state, , , , uid = '', , inode = ''] = fields;
      const port = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16);
      return state === listenState && Number.isInteger(port) ? [{ port, uid: Number(uid), inode }] : [];
    });
}

/** @returns null when the port is free. */
export function portOwner(port: number, registry?: Registry): PortOwner | null {
  const listeners = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => {
    try {
      return parseListeners(readFileSync(table, 'utf8'));
    } catch {
      // No IPv6.
      return [];
    }
  });
  const listener = listeners.find((candidate) => candidate.port === port);
  if (!listener) return null;
  const pid = processOfSocket(listener.inode);
  const run = registry?.list().live.find((candidate) => runUsesPort(candidate, port));
  return {
    port,
    pid,
    command: pid === null ? null : readCommandLine(pid),
    uid: listener.uid,
    buildId: run?.buildId ?? null,
  };
}

/** The run has an engine that was given this port and has not ended. */
export function runUsesPort(run: LiveRun, port: number): boolean {
  return Object.values(run.engines).some(
    ({ spec, state }) => spec.ports.includes(port) && (state.status === 'starting' || state.status === 'ready'),
  );
}

/** One line for a person: `port 8000: process 4711 (python -m http.server 8000)`. */
export function describePortOwner(owner: PortOwner): string {
  const run = owner.buildId === null ? '' : `, run ${owner.buildId}`;
  if (owner.pid === null) {
    return `port ${owner.port}: a process of user ${owner.uid ?? 'unknown'} that cannot be looked at${run}`;
  }
  return `port ${owner.port}: process ${owner.pid} (${owner.command ?? 'unknown command'})${run}`;
}

function processOfSocket(inode: string): number | null {
  const wanted = `socket:[${inode}]`;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      for (const descriptor of readdirSync(`/proc/${entry}/fd`)) {
        if (readlinkSync(`/proc/${entry}/fd/${descriptor}`) === wanted) return Number(entry);
      }
    } catch {
      // Gone, or another user's.
    }
  }
  return null;
}

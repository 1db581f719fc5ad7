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
  readonly uid: number;
  /** Our own live run, if it is one. */
  readonly buildId: string | null;
  /** One line for a person: `process 4711 (python -m http.server 8000)`. */
  readonly description: string;
}

interface Listener {
  readonly port: number;
  readonly uid: number;
  readonly inode: string;
}

const listenState = '0A';
const establishedState = '01';
const socketTables = ['/proc/net/tcp', '/proc/net/tcp6'];

/** The listening sockets of a table as /proc/net/tcp has it (proc_pid_net(5)): addresses in hex, state, uid, inode. */
export function parseListeners(table: string): Listener[] {
  return (
    table
      .split('\n')
      .slice(1)
      // Closed connections make such a table long: only what may be a listener is taken apart.
      .filter((line) => line.includes(` ${listenState} `))
      .flatMap((line): Listener[] => {
        const fields = line.trim().split(/\s+/);
        const [, local = '', , state, , , , uid = '', , inode = ''] = fields;
        const port = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16);
        return state === listenState && Number.isInteger(port) ? [{ port, uid: Number(uid), inode }] : [];
      })
  );
}

/** How many connections to this remote port a table as /proc/net/tcp has: the clients' ends of them. */
export function countConnections(port: number, table: string): number {
  return table.split('\n').filter((line) => {
    const [, , remote = '', state] = line.trim().split(/\s+/);
    return state === establishedState && Number.parseInt(remote.slice(remote.lastIndexOf(':') + 1), 16) === port;
  }).length;
}

/** Connections that programs of this machine hold open to a port. */
export function openConnections(port: number): number {
  return socketTables.reduce((sum, table) => sum + countConnections(port, readTable(table)), 0);
}

/** All listening sockets of this machine's network; the kernel takes milliseconds for each look. */
export function listListeners(): readonly Listener[] {
  return socketTables.flatMap((table) => parseListeners(readTable(table)));
}

/** @returns null when the port is free. */
export function findPortOwner(port: number, registry?: Registry, listeners = listListeners()): PortOwner | null {
  const listener = listeners.find((found) => found.port === port);
  if (!listener) return null;
  const pid = processOfSocket(listener.inode);
  const command = pid === null ? null : readCommandLine(pid);
  const buildId = registry?.list().live.find((run) => runUsesPort(run, port))?.buildId ?? null;
  const who =
    pid === null
      ? `a process of user ${listener.uid} that may not be looked at`
      : `process ${pid} (${command ?? 'unknown command'})`;
  const description = buildId === null ? who : `${who}, run ${buildId}`;
  return { port, pid, command, uid: listener.uid, buildId, description };
}

function readTable(table: string): string {
  try {
    return readFileSync(table, 'utf8');
  } catch {
    // No IPv6 on this machine.
    return '';
  }
}

/** The run has an engine that was given this port and has not ended. */
export function runUsesPort(run: LiveRun, port: number): boolean {
  return Object.values(run.engines).some(
    ({ spec, state }) => spec.ports.includes(port) && (state.status === 'starting' || state.status === 'ready'),
  );
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

import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { claimPort, releasePort } from './machine-claim.js';
import { openRegistry } from './registry.js';

/** Below these are ports of well-known services. */
const firstPort = 10_000;
const fewestPorts = 1000;
const triesPerPort = 200;

/**
 * Free TCP ports, all different: held open together, then released. They lie below the range from which the kernel
 * takes the ports of outgoing connections, for such a connection might take one before its engine listens on it; and
 * no live run of this user has been given one. They are claimed for this process: no other one is given them, not in the
 * same instant either. `releasePort` ends a claim before the process does.
 */
export async function findFreePorts(count: number): Promise<readonly number[]> {
  if (count === 0) return [];
  const servers: Server[] = [];
  try {
    const endPort = firstOutgoingPort();
    const given = portsOfLiveRuns();
    const found: number[] = [];
    while (found.length < count) {
      const server = createServer();
      found.push(await listenSomewhere(server, endPort, given));
      servers.push(server);
    }
    return found;
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

async function listenSomewhere(server: Server, endPort: number, given: ReadonlySet<number>): Promise<number> {
  if (endPort - firstPort >= fewestPorts) {
    for (let tries = 0; tries < triesPerPort; tries += 1) {
      const port = randomInt(firstPort, endPort);
      if (given.has(port) || !(await claimPort(port))) continue;
      if (await listens(server, port)) return port;
      releasePort(port);
    }
  }
  // A machine that is set up otherwise: as the kernel likes it.
  if (!(await listens(server, 0))) throw new Error('The system has no free TCP port.');
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('The system gave no port number.');
  return address.port;
}

/** On all addresses: engines listen on more than the loopback. */
function listens(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const fail = () => resolve(false);
    server.once('error', fail);
    server.listen(port, () => {
      server.off('error', fail);
      resolve(true);
    });
  });
}

/** Start of net.ipv4.ip_local_port_range (ip(7)); 0 where it cannot be read. */
function firstOutgoingPort(): number {
  try {
    return Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), 10);
  } catch {
    return 0;
  }
}

function portsOfLiveRuns(): ReadonlySet<number> {
  try {
    const { live, foreign } = openRegistry().list();
    return new Set([...live, ...foreign].flatMap(({ ports }) => Object.values(ports)));
  } catch {
    // What is wrong with the registry is told by whoever needs it.
    return new Set();
  }
}

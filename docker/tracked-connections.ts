import { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import type { Duplex } from 'node:stream';

/** Connections of one operation, which can all be closed, those that were upgraded to another protocol included. */
export interface TrackedConnections {
  readonly agent: Agent;
  close(): void;
}

/** An HTTP agent that remembers every connection it makes. */
export function trackConnections(protocol: 'http' | 'https'): TrackedConnections {
  const agent = protocol === 'https' ? new TlsAgent() : new Agent();
  const sockets = new Set<Duplex>();
  const create = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const socket = create(options, callback);
    if (socket) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    }
    return socket;
  };
  return {
    agent,
    close: () => {
      agent.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}

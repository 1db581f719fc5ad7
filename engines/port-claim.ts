import { createServer, type Server } from 'node:net';

const claims = new Map<number, Server>();

/**
 * Claims a port of this machine for this process, among all that choose free ports this way, whoever's they are: by
 * listening on a name of Linux's abstract socket namespace (unix(7)), which is one a network namespace, as ports are, and
 * which the kernel gives back when the process ends, however it ends.
 * @returns false where another process, or this one, has claimed it
 */
export function claimPort(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    // Elsewhere than on Linux there are no such names, and nothing to ask.
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    server.listen(`\0lmcache-ci-port-${port}`, () => {
      server.unref();
      claims.set(port, server);
      resolve(true);
    });
  });
}

/** Harmless where there is no claim. */
export function releasePort(port: number): void {
  claims.get(port)?.close();
  claims.delete(port);
}

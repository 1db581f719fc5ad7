import { createServer, type Server } from 'node:net';

const claims = new Map<string, Server>();

/**
 * Claims a port of this machine for this process, among all that choose free ports this way, whoever's they are.
 * @returns false where another process, or this one, has claimed it
 */
export function claimPort(port: number): Promise<boolean> {
  return claim(`port-${port}`);
}

/** Harmless where there is no claim. */
export function releasePort(port: number): void {
  release(`port-${port}`);
}

/** A GPU, by its uuid, as `claimPort` a port: other users' runs stand in registries of their own. */
export function claimGpu(uuid: string): Promise<boolean> {
  return claim(`gpu-${uuid}`);
}

/** Harmless where there is no claim. */
export function releaseGpu(uuid: string): void {
  release(`gpu-${uuid}`);
}

/**
 * By listening on a name of Linux's abstract socket namespace (unix(7)), which is one a network namespace, as ports are, and
 * which the kernel gives back when the process ends, however it ends. There is no file that another user could not remove.
 */
function claim(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    // Elsewhere than on Linux there are no such names, and nothing to ask.
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    server.listen(`\0lmcache-ci-${name}`, () => {
      server.unref();
      claims.set(name, server);
      resolve(true);
    });
  });
}

function release(name: string): void {
  claims.get(name)?.close();
  claims.delete(name);
}

import { startPrivateDaemon } from '../../dist/bench/private-daemon.js';

/** A daemon of our own where we may start one; else the machine's, which is only used, never killed. */
export async function openDaemon(directory) {
  try {
    const daemon = await startPrivateDaemon(directory, new AbortController().signal);
    return { ...daemon, isPrivate: true };
  } catch (error) {
    console.log(`The machine's own Docker daemon is used: ${error.message}`);
    return { dockerHost: process.env.DOCKER_HOST ?? null, isPrivate: false, stop: async () => {} };
  }
}

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { which } from 'zx';
import { openContainerHost } from '../docker/client.js';

/** A Docker daemon of the benchmark's own: the machine's is neither changed nor measured with others' containers in it. */
export interface PrivateDaemon {
  readonly dockerHost: string;
  stop(): Promise<void>;
}

const startLimitMs = 30_000;
const stopLimitMs = 20_000;

/**
 * Starts dockerd below a directory, with the runtime that the original suite asks for: runc under the name of nvidia's.
 * @throws Error when it cannot (no dockerd, not root)
 */
export async function startPrivateDaemon(directory: string, signal: AbortSignal): Promise<PrivateDaemon> {
  const [dockerd, runc] = await Promise.all(['dockerd', 'runc'].map((name) => which(name, { nothrow: true })));
  if (!dockerd || !runc) throw new Error(`${dockerd ? 'runc' : 'dockerd'} is not on PATH.`);
  await mkdir(directory, { recursive: true });
  const bridge = addBridge();
  const socket = path.join(directory, 'docker.sock');
  const logPath = path.join(directory, 'dockerd.log');
  const log = openSync(logPath, 'a');
  const child = spawn(
    dockerd,
    [
      ...['--data-root', path.join(directory, 'data'), '--exec-root', path.join(directory, 'exec')],
      ...['--pidfile', path.join(directory, 'pid'), '--host', `unix://${socket}`],
      // All containers are on the host's network: none of the machine's rules need to change. A bridge of its own,
      // for `--bridge none` would delete the machine's docker0.
      ...['--bridge', bridge, '--iptables=false', '--ip-masq=false', '--add-runtime', `nvidia=${runc}`],
    ],
    // Ctrl-C must reach the runs first; they need their daemon to clean up.
    { stdio: ['ignore', log, log], detached: true },
  );
  closeSync(log);
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const stopped = await Promise.race([ended.then(() => true), delay(stopLimitMs, false, { ref: false })]);
    if (!stopped) {
      child.kill('SIGKILL');
      await ended;
    }
    spawnSync('ip', ['link', 'delete', bridge], { stdio: 'ignore' });
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  };
  const host = openContainerHost({ socketPath: socket });
  const giveUpAt = performance.now() + startLimitMs;
  while (child.exitCode === null && performance.now() < giveUpAt && !signal.aborted) {
    if (
      await host.ping().then(
        () => true,
        () => false,
      )
    )
      return { dockerHost: `unix://${socket}`, stop };
    await delay(50);
  }
  const tail = (await readFile(logPath, 'utf8')).split('\n').slice(-8).join('\n');
  await stop();
  throw new Error(`A Docker daemon of the benchmark's own did not start:\n${tail}`);
}

/** @throws Error without iproute2, or without the right to add an interface */
function addBridge(): string {
  const bridge = `lmcb${process.pid}`;
  const added = spawnSync('ip', ['link', 'add', bridge, 'type', 'bridge'], { encoding: 'utf8' });
  if (added.status !== 0)
    throw new Error(`No bridge for the benchmark's Docker daemon: ${added.error?.message ?? added.stderr.trim()}`);
  return bridge;
}

/** dockerd leaves the network namespace of containers on the host's network mounted. */
async function unmountBelow(directory: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '');
  for (const mount of mounts.filter((point) => point.startsWith(`${directory}/`)).reverse()) {
    spawnSync('umount', ['--lazy', mount], { stdio: 'ignore' });
  }
}

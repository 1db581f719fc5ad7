import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { which } from 'zx';
import { openContainerHost } from '../docker/client.js';
import { listProcesses, readCommandLine } from '../engines/process-identity.js';

/** A Docker daemon of our own: the machine's is neither changed, nor measured with others' containers in it, nor killed. */
export interface PrivateDaemon {
  readonly dockerHost: string;
  /** Ends it as an out-of-memory killer would; its containers live on. */
  kill(): Promise<void>;
  /** Starts it again on what it has left. Resolves when it answers. @throws Error when it does not */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const startLimitMs = 30_000;
const stopLimitMs = 20_000;
const startTries = 3;

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
  const args = [
    ...['--data-root', path.join(directory, 'data'), '--exec-root', path.join(directory, 'exec')],
    ...['--pidfile', path.join(directory, 'pid'), '--host', `unix://${socket}`],
    // All containers are on the host's network: none of the machine's rules need to change. A bridge of its own,
    // for `--bridge none` would delete the machine's docker0.
    ...['--bridge', bridge, '--iptables=false', '--ip-masq=false', '--add-runtime', `nvidia=${runc}`],
  ];
  const logPath = path.join(directory, 'dockerd.log');
  let daemon = startDaemon(dockerd, args, logPath);
  const host = openContainerHost({ socketPath: socket });
  const answers = async (): Promise<void> => {
    const giveUpAt = performance.now() + startLimitMs;
    while (daemon.child.exitCode === null && performance.now() < giveUpAt && !signal.aborted) {
      const isThere = await host.ping().then(
        () => true,
        () => false,
      );
      if (isThere) return;
      await delay(50);
    }
    const tail = (await readFile(logPath, 'utf8')).split('\n').slice(-8).join('\n');
    throw new Error(`A Docker daemon of our own did not start:\n${tail}`);
  };
  const stop = async (): Promise<void> => {
    daemon.child.kill('SIGTERM');
    const stopped = await Promise.race([daemon.ended.then(() => true), delay(stopLimitMs, false, { ref: false })]);
    if (!stopped) {
      daemon.child.kill('SIGKILL');
      await daemon.ended;
    }
    endBelow(directory);
    spawnSync('ip', ['link', 'delete', bridge], { stdio: 'ignore' });
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await answers();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    dockerHost: `unix://${socket}`,
    kill: async () => {
      daemon.child.kill('SIGKILL');
      await daemon.ended;
    },
    restart: async () => {
      // As a service manager does: on a busy machine its containerd may not be there in time.
      for (let tries = 1; ; tries += 1) {
        daemon = startDaemon(dockerd, args, logPath);
        try {
          await answers();
          return;
        } catch (error) {
          if (tries === startTries || daemon.child.exitCode === null) throw error;
        }
      }
    },
    stop,
  };
}

function startDaemon(dockerd: string, args: readonly string[], logPath: string) {
  const log = openSync(logPath, 'a');
  // Ctrl-C must reach the runs first; they need their daemon to clean up.
  const child = spawn(dockerd, args, { stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  return { child, ended };
}

/** @throws Error without iproute2, or without the right to add an interface */
function addBridge(): string {
  const bridge = `lmcb${process.pid}`;
  const added = spawnSync('ip', ['link', 'add', bridge, 'type', 'bridge'], { encoding: 'utf8' });
  if (added.status !== 0)
    throw new Error(`No bridge for a Docker daemon of our own: ${added.error?.message ?? added.stderr.trim()}`);
  return bridge;
}

/** What a daemon that was killed has left: its containerd, and shims of containers that are gone. */
function endBelow(directory: string): void {
  for (const { pid } of listProcesses()) {
    if (readCommandLine(pid)?.includes(`${directory}/`) !== true) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}

/** dockerd leaves the network namespace of containers on the host's network mounted. */
async function unmountBelow(directory: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '');
  for (const mount of mounts.filter((point) => point.startsWith(`${directory}/`)).reverse()) {
    spawnSync('umount', ['--lazy', mount], { stdio: 'ignore' });
  }
}

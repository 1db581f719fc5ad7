import { spawnSync } from 'node:child_process';
import { startPrivateDaemon } from '../../dist/bench/private-daemon.js';
import { listProcesses, readCommandLine } from '../../dist/engines/process-identity.js';

/** A daemon of our own where we may start one; else the machine's, which is only used, never killed. */
export async function openDaemon(directory) {
  try {
    const daemon = await startPrivateDaemon(directory, new AbortController().signal);
    const client = dockerAt(daemon.dockerHost);
    return { ...daemon, ...client, isPrivate: true, forgotten: () => forgottenBelow(directory, client) };
  } catch (error) {
    console.log(`The machine's own Docker daemon is used: ${error.message}`);
    const dockerHost = process.env.DOCKER_HOST ?? null;
    // Which of the machine's shims are ours cannot be told once their containers are gone.
    return { dockerHost, ...dockerAt(dockerHost), isPrivate: false, forgotten: () => [], stop: async () => {} };
  }
}

function dockerAt(host) {
  const ask = (...args) =>
    spawnSync('docker', [...(host === null ? [] : ['--host', host]), ...args], { encoding: 'utf8' });
  const list = (...args) => {
    const listed = ask('ps', '--all', ...args);
    if (listed.status !== 0) throw new Error(`docker ps: ${listed.stderr}`);
    return listed.stdout.split('\n').filter(Boolean);
  };
  return { ask, list };
}

/**
 * Shims of a daemon's containers that it does not know any more, each with its children: containers without a mark (one
 * that was killed before its program had begun) among them.
 */
function forgottenBelow(directory, { list }) {
  const processes = listProcesses().map((stat) => ({ ...stat, command: readCommandLine(stat.pid) ?? '' }));
  const shims = processes.flatMap(({ pid, command }) => {
    const [, id] = /containerd-shim.* -id (\w+) /.exec(command) ?? [];
    return id !== undefined && command.includes(`${directory}/`) ? [{ pid, id }] : [];
  });
  if (shims.length === 0) return [];
  const known = new Set(list('--quiet', '--no-trunc'));
  return shims.flatMap(({ pid, id }) => {
    if (known.has(id)) return [];
    const children = processes.filter(({ parentPid }) => parentPid === pid).map(({ command }) => command.slice(0, 80));
    return [{ pid, what: `shim ${pid} of ${id.slice(0, 12)}, its children: ${children.join('; ') || 'none'}` }];
  });
}

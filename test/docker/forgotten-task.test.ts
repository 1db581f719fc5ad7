import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { endForgottenTask } from '../../docker/forgotten-task.js';
import { listProcesses } from '../../engines/process-identity.js';
import { waitUntil } from '../../engines/wait-until.js';

const shims: ChildProcess[] = [];
afterEach(() => {
  for (const { pid } of shims.splice(0)) if (pid !== undefined && isThere(pid)) process.kill(-pid, 'SIGKILL');
});

/** What containerd starts for a container, as far as a look at processes tells: a program of its own, and one below it. */
async function startShim(containerId: string, program = 'sleep 307 & wait') {
  const asShim = ['containerd-shim-runc-v2', '-namespace', 'moby', '-id', containerId, '-address', '/nosuch.sock'];
  const shim = spawn('bash', ['-c', program, ...asShim], { stdio: 'ignore', detached: true });
  shims.push(shim);
  const pid = shim.pid ?? 0;
  const children = () => listProcesses().filter(({ parentPid }) => parentPid === pid);
  expect(await waitUntil(() => children().length > 0, 5000)).toBe(true);
  return { pid, child: children()[0]?.pid ?? 0 };
}

const isThere = (pid: number) => listProcesses().some((stat) => stat.pid === pid);
const anId = () => randomBytes(32).toString('hex');

test('a shim that stays is ended with what it has started; those of other containers are not', async () => {
  const id = anId();
  const [forgotten, other] = await Promise.all([startShim(id), startShim(anId())]);
  expect(await endForgottenTask(id, 50)).toEqual({ forced: true });
  expect([forgotten.pid, forgotten.child, other.pid, other.child].map(isThere)).toEqual([false, false, true, true]);
});

test('a shim that ends by itself is let end; without one there is nothing to do', async () => {
  const id = anId();
  await startShim(id, 'sleep 0.3; true');
  expect(await endForgottenTask(id, 5000)).toEqual({ forced: false });
  expect(await endForgottenTask(id, 5000)).toEqual({ forced: false });
});

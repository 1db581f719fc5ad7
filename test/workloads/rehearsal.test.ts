import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { rehearse } from '../../workloads/rehearsal.js';

const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP')).length;

test.each([
  ['whole', new AbortController().signal],
  ['aborted', AbortSignal.abort(new Error('enough'))],
])('a rehearsal, %s, ends without an error and leaves no socket behind', async (_, signal) => {
  const before = sockets();
  await rehearse(signal);
  for (let attempt = 0; attempt < 100 && sockets() > before; attempt += 1) await sleep(10);
  expect(sockets()).toBe(before);
});

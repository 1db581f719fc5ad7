import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { whyUnreachable } from '../../engines/unreachable.js';
import { openBlackHole } from '../fixtures/black-hole.js';

const never = new AbortController().signal;

test('a server that listens is reachable, and no longer once it has closed', async () => {
  const server = createServer((socket) => socket.destroy());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  expect(await whyUnreachable(`http://127.0.0.1:${port}/v1`, never)).toBeNull();
  server.close();
  await once(server, 'close');
  expect(await whyUnreachable(`http://127.0.0.1:${port}/v1`, never)).toBe('connection refused');
});

test('nobody waits for it longer than asked', async () => {
  const hole = await openBlackHole();
  try {
    const limit = new AbortController();
    const asked = whyUnreachable(hole.url, limit.signal);
    limit.abort();
    expect(await asked).toBe('no connection in time');
  } finally {
    await hole.close();
  }
});

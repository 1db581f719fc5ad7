import { createServer, type RequestListener, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { askServer } from '../../engines/ask-server.js';
import { probe } from '../../engines/readiness.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** @returns its port: the first of these that is free */
async function serve(answer: RequestListener, ports: readonly number[] = [0]): Promise<number> {
  for (const port of ports) {
    const server = createServer(answer);
    const isThere = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isThere) continue;
    servers.push(server);
    const address = server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }
  throw new Error(`none of ${ports.join(', ')} is free`);
}

const never = new AbortController().signal;
const healthOf = (port: number, signal = never) =>
  probe({ kind: 'http', url: `http://127.0.0.1:${port}/health` }, signal);

describe('a look at a server', () => {
  it('takes any port, those that browsers and fetch refuse too', async () => {
    const port = await serve((_request, response) => response.end(), [10080, 6697, 6669, 6566, 5061]);
    expect(await healthOf(port)).toEqual({ ready: true, answer: 'HTTP 200' });
  });

  it('says in a few words why it is not ready', async () => {
    const loading = await serve((_request, response) => response.writeHead(503).end('loading'));
    expect(await healthOf(loading)).toEqual({ ready: false, answer: 'HTTP 503' });
    const silent = await serve(() => {});
    expect(await healthOf(silent, AbortSignal.timeout(50))).toEqual({ ready: false, answer: 'no answer in time' });
    const cutting = await serve((request) => request.socket.destroy());
    expect(await healthOf(cutting)).toEqual({ ready: false, answer: 'connection reset' });
    const closed = servers.at(-1);
    await new Promise((resolve) => closed?.close(resolve));
    expect(await healthOf(cutting)).toEqual({ ready: false, answer: 'connection refused' });
  });
});

it('asks with a body, and hears status, headers and body', async () => {
  const port = await serve((request, response) => {
    request.on('data', (sent) => response.writeHead(201, { 'X-Said': 'yes' }).end(`${request.method} ${sent}`));
  });
  const answer = await askServer(`http://127.0.0.1:${port}/x`, { signal: never, method: 'POST', body: '{}' });
  expect([answer.status, answer.header('x-said'), answer.header('x-other'), answer.body]).toEqual([
    201,
    'yes',
    null,
    'POST {}',
  ]);
});

import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { completePrompts } from '../../workloads/completions.js';
import { ServerUnreachableError } from '../../workloads/server-api.js';

const tls = (name: string): Buffer => readFileSync(new URL(`../fixtures/workloads/tls/${name}.pem`, import.meta.url));
const { signal } = new AbortController();
let server: Server;
let handshakes = 0;
const verification = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];

beforeEach(async () => {
  handshakes = 0;
  server = createServer({ key: tls('key'), cert: tls('certificate') }, (request, response) => {
    request.resume();
    request.on('end', () => {
      if (request.method === 'GET') {
        response.end('{"version":"1"}');
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"index":0,"text":"safe"}]}\n\n');
      response.end('data: [DONE]\n\n');
    });
  });
  server.on('secureConnection', () => {
    handshakes += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  if (verification === undefined) {
    delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  } else {
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = verification;
  }
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const send = () =>
  completePrompts(
    { baseUrl: `https://localhost:${(server.address() as AddressInfo).port}`, model: 'm' },
    ['a', 'b', 'c', 'd'],
    { maxTokens: 1, concurrency: 2, signal },
  );

test('streams over TLS, the handshakes done ahead and once a connection', async () => {
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  const { records } = await send();
  expect(records.map((record) => record.text)).toEqual(['safe', 'safe', 'safe', 'safe']);
  // One for the question whether the server is simulated, two for the requests.
  expect(handshakes).toBe(3);
});

test('a certificate that cannot be verified is refused', async () => {
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '1';
  await expect(send()).rejects.toThrow(ServerUnreachableError);
});

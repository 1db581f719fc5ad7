import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { SoundChannel } from '../../simulator/http/answer-channel.js';
import { Outbox } from '../../simulator/outbox.js';

/** What a client that sends `request` reads until the server closes; each answer is written by `answer`. */
async function exchange(request: string, answer: (response: ServerResponse) => void): Promise<string> {
  const server = createServer((_, response) => {
    response.sendDate = false;
    answer(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const client = connect({ port: typeof address === 'object' ? (address?.port ?? 0) : 0, host: '127.0.0.1' });
  client.end(request);
  try {
    return await text(client);
  } finally {
    server.close();
  }
}

const EVENTS = ['data: {"text":" plain"}\n\n', 'data: {"text":" größer 漢字 😀"}\n\n', 'data: {"text":"é"}\n\n'];

function byNode(response: ServerResponse): void {
  response.flushHeaders();
  for (const event of EVENTS) response.write(event);
  response.end('data: [DONE]\n\n');
}

function byChannel(response: ServerResponse): void {
  response.flushHeaders();
  const outbox = new Outbox();
  const channel = new SoundChannel(response, outbox, () => undefined);
  for (const event of EVENTS) {
    channel.events(event);
    outbox.sendAll();
  }
  channel.lastEvents('data: [DONE]\n\n');
  outbox.sendAll();
}

describe('SoundChannel', () => {
  it.each([
    ['HTTP/1.1, chunk by chunk', 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'],
    ['HTTP/1.0, which has no chunks', 'GET / HTTP/1.0\r\n\r\n'],
    [
      'an answer behind another one on the same connection',
      'GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
    ],
  ])('writes the bytes that node would: %s', async (_, request) => {
    const expected = await exchange(request, byNode);
    expect(expected).toContain('漢字');
    expect(await exchange(request, byChannel)).toBe(expected);
  });

  it('lets nothing leave before it is due', async () => {
    const outbox = new Outbox();
    let isDue = false;
    const read = exchange('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n', (response) => {
      const channel = new SoundChannel(response, outbox, (body) => {
        expect(isDue).toBe(true);
        response.end(body);
      });
      channel.body('whole');
      setImmediate(() => {
        expect(response.headersSent).toBe(false);
        isDue = true;
        outbox.sendAll();
      });
    });
    expect(await read).toContain('whole');
  });

  it('sends nothing more to a client that has gone', async () => {
    const outbox = new Outbox();
    const answer = await exchange('GET / HTTP/1.1\r\nhost: a\r\n\r\n', (response) => {
      response.flushHeaders();
      const channel = new SoundChannel(response, outbox, () => undefined);
      channel.events('data: 1\n\n');
      response.destroy();
      outbox.sendAll();
      channel.events('data: 2\n\n');
      channel.lastEvents('data: 3\n\n');
      outbox.sendAll();
    });
    expect(answer).not.toContain('data:');
  });
});

import { createServer } from 'node:net';
import { ConnectionPool } from './connection-pool.js';
import { parseEndpoint, serialiseRequest } from './endpoint.js';
import { JsonText } from './json-text.js';
import { type RoundRequest, runRound } from './request-round.js';

const TOKENS = 16;
/** The server writes an answer in so many pieces: each one costs it as much as the client to read it. */
const PIECES = 6;
/** A long request goes out in several writes, a short one in one. */
const ACTS = [
  { prompt: new JsonText(Buffer.from(`"${'hi '.repeat(25_000)}"`)), requests: 16 },
  { prompt: 'hi', requests: 96 },
];
const TIMEOUT_SECONDS = 5;

/**
 * Runs the whole path of a request a few hundred times against a server inside this process. Cold code is ten times
 * slower: without this the first requests of a run would be charged with its compilation. Takes some 100 ms; a machine
 * without a loopback goes without it.
 */
export async function rehearse(signal: AbortSignal): Promise<void> {
  const events = [{ choices: [{ index: 0, delta: { role: 'assistant', content: '' }, text: '' }] }];
  for (let token = 0; token < TOKENS; token += 1) {
    const text = ` word${token}`;
    events.push({ choices: [{ index: 0, delta: { role: 'assistant', content: text }, text }] });
  }
  const usage = { choices: [], usage: { prompt_tokens: 1, completion_tokens: TOKENS, total_tokens: TOKENS + 1 } };
  const chunks = [...events, usage]
    .map((event) => `data: ${JSON.stringify(event)}\n\n`)
    .concat('data: [DONE]\n\n')
    .map((event) => `${event.length.toString(16)}\r\n${event}\r\n`);
  const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
  const perPiece = Math.ceil(chunks.length / PIECES);
  const pieces = Array.from({ length: PIECES }, (_, piece) =>
    chunks.slice(piece * perPiece, (piece + 1) * perPiece).join(''),
  );
  let requestBytes = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    let received = 0;
    socket.on('data', (bytes) => {
      received += bytes.length;
      if (received < requestBytes) {
        return;
      }
      received = 0;
      socket.write(head);
      for (const piece of pieces) {
        socket.write(piece);
      }
      socket.write('0\r\n\r\n');
    });
  });
  try {
    const port = await new Promise<number>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
    const target = { baseUrl: `http://127.0.0.1:${port}`, model: 'rehearsal' };
    const endpoint = parseEndpoint(target.baseUrl);
    for (const { prompt, requests: count } of ACTS) {
      const parts = serialiseRequest(endpoint, target, '/v1/completions', { prompt }, 'rehearsal');
      requestBytes = parts.reduce((total, part) => total + part.length, 0);
      const requests = Array.from(
        { length: count },
        (): RoundRequest => ({ parts, intendedStart: 0, expectedTokens: TOKENS }),
      );
      const pool = new ConnectionPool(endpoint, signal);
      try {
        await runRound(pool, requests, { maxInFlight: 32, requestTimeoutSeconds: TIMEOUT_SECONDS, speed: 1, signal });
      } finally {
        pool.close();
      }
    }
  } catch {
    // A rehearsal that cannot take place changes nothing but the first requests' accuracy.
  } finally {
    server.close();
  }
}

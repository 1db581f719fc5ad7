import { request } from 'node:http';
import { performance } from 'node:perf_hooks';

/** When each token of a stream reached this process, in ms of performance.now(). */
export type TokenTimes = Float64Array;

const EVENT = Buffer.from('data: {');

/**
 * Opens `count` streamed completions at once and notes when each token arrives, as soon as its bytes are read.
 * @throws when an answer is not 200, or breaks off.
 */
export function readTokenStreams(
  port: number,
  model: string,
  count: number,
  tokens: number,
): Promise<readonly TokenTimes[]> {
  return Promise.all(Array.from({ length: count }, (_, stream) => readStream(port, model, stream, tokens)));
}

function readStream(port: number, model: string, stream: number, tokens: number): Promise<TokenTimes> {
  const body = JSON.stringify({
    model,
    prompt: [1, 2, 3, stream + 10],
    max_tokens: tokens,
    ignore_eos: true,
    stream: true,
  });
  const times = new Float64Array(tokens);
  let seen = 0;
  let rest: Buffer = Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        path: '/v1/completions',
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      (response) => {
        if (response.statusCode !== 200) reject(new Error(`stream ${stream}: status ${response.statusCode}`));
        response.on('data', (data: Buffer) => {
          const now = performance.now();
          // An event's head may be cut by the network's packets.
          const joined = rest.length === 0 ? data : Buffer.concat([rest, data]);
          rest = joined.subarray(Math.max(0, joined.length - EVENT.length + 1));
          for (let at = joined.indexOf(EVENT); at >= 0; at = joined.indexOf(EVENT, at + EVENT.length)) {
            if (seen < tokens) times[seen] = now;
            seen += 1;
          }
        });
        response.on('end', () =>
          seen >= tokens ? resolve(times) : reject(new Error(`stream ${stream}: ${seen} tokens`)),
        );
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

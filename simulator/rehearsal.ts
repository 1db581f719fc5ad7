import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { RealTimeClock } from './clock.js';
import { Pacer } from './engine/pacer.js';
import { EngineService } from './engine-service.js';
import { NO_FAULTS } from './faults.js';
import { createApiServer } from './http/api-server.js';
import { SILENT_LOG } from './log.js';
import type { ServedModel } from './served-model.js';
import type { SimControlState } from './sim-control.js';

interface Round {
  readonly streams: number;
  readonly tokens: number;
}

/** Enough for V8 to have compiled whatever a token passes through, and for its heap to have grown. */
const STREAMING: Round = { streams: 64, tokens: 250 };
/** The same for a request. */
const BURST: Round = { streams: 256, tokens: 4 };
/** Code that was compiled for the one engine it had seen is thrown away at the second; the third finds it ready. */
const ROUNDS = [STREAMING, STREAMING, BURST, BURST, BURST, BURST, BURST, BURST];
const SPEED = 2;
/** A prompt's, of made-up ids. */
const PROMPT_TOKENS = 4;
const HOST = '127.0.0.1';

/**
 * Serves some streams to itself before it is ready, with engines and ports of its own that nobody sees: compiling, and
 * memory that is touched for the first time, take milliseconds at a time, which the first real steps would come late by.
 * @param limitMs wall milliseconds after which it ends, finished or not. @param signal ends it early, too.
 */
export async function rehearse(served: ServedModel, limitMs: number, signal: AbortSignal): Promise<void> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const timer = setTimeout(end, limitMs);
  signal.addEventListener('abort', end);
  try {
    for (const round of ROUNDS) {
      if (!ending.signal.aborted) await rehearseOnce(served, round, ending.signal);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}

async function rehearseOnce(model: ServedModel, { streams, tokens }: Round, signal: AbortSignal): Promise<void> {
  const served = { ...model, options: { ...model.options, connector: null, apiKeys: [] } };
  const control: SimControlState = { profile: model.profile.name, role: 'baseline', speed: SPEED, fault: NO_FAULTS };
  const clock = new RealTimeClock(SPEED);
  const pacer = new Pacer(clock);
  const onFatal = (): void => undefined;
  const engine = new EngineService({ served, control, clock: pacer, connector: null, log: SILENT_LOG, onFatal });
  const server = createApiServer({ served, control, engine, clock, log: SILENT_LOG, onControl: () => undefined });
  const sockets: Socket[] = [];
  const end = (): void => {
    engine.loop.close();
    server.close();
    server.closeAllConnections();
    for (const socket of sockets) socket.destroy();
  };
  signal.addEventListener('abort', end);
  try {
    await once(server.listen({ host: HOST, port: 0 }), 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const max_tokens = Math.min(tokens, served.maxModelLen - PROMPT_TOKENS);
    const bodies = Array.from({ length: streams }, (_, stream) =>
      JSON.stringify({ model: served.name, prompt: [1, 2, 3, stream], max_tokens, ignore_eos: true, stream: true }),
    );
    sockets.push(...bodies.map((body) => post(port, body)));
    await Promise.all(sockets.map(closed));
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

/** Posts one completion on a connection of its own, which ends with the answer. */
function post(port: number, body: string): Socket {
  const socket = connect(port, HOST);
  const head = `host: ${HOST}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close`;
  socket.write(`POST /v1/completions HTTP/1.1\r\n${head}\r\n\r\n${body}`);
  return socket.resume();
}

/** However it comes to its end. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
  });
}

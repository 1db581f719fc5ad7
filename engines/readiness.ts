import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { askServer } from './ask-server.js';
import { probeErrorText } from './probe-error.js';

/** What is asked to know whether an engine serves. */
export type Probe =
  | { readonly kind: 'http'; readonly url: string }
  /** A program without HTTP serves once it listens. */
  | { readonly kind: 'tcp'; readonly port: number };

/** `answer` in a few words: `HTTP 503`, `connection refused`. */
export interface ProbeAnswer {
  readonly ready: boolean;
  readonly answer: string;
}

const pollMs = 100;
/** A server that takes a connection and says nothing must not hold up the next look for long. */
const probeLimitMs = 2000;

/** One look. Never rejects. */
export async function probe(target: Probe, signal: AbortSignal): Promise<ProbeAnswer> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(probeLimitMs)]);
  return target.kind === 'http' ? probeHttp(target.url, limit) : probeTcp(target.port, limit);
}

/**
 * Looks every 100 ms until the engine serves.
 * @param onAnswer told each answer, for the message when time runs out
 * @returns false when the signal ended the waiting
 */
export async function pollUntilReady(
  target: Probe,
  signal: AbortSignal,
  onAnswer: (answer: string) => void,
): Promise<boolean> {
  while (!signal.aborted) {
    const started = performance.now();
    const { ready, answer } = await probe(target, signal);
    if (ready) return true;
    if (signal.aborted) break;
    onAnswer(answer);
    const restMs = pollMs - (performance.now() - started);
    if (restMs > 0) await delay(restMs, undefined, { signal }).catch(() => undefined);
  }
  return false;
}

async function probeHttp(url: string, signal: AbortSignal): Promise<ProbeAnswer> {
  try {
    const { status } = await askServer(url, { signal });
    // Older LMCache servers have their health check below /api.
    if (status === 404 && url.endsWith('/healthcheck') && !url.endsWith('/api/healthcheck')) {
      return await probeHttp(url.replace(/\/healthcheck$/, '/api/healthcheck'), signal);
    }
    return { ready: status === 200, answer: `HTTP ${status}` };
  } catch (error) {
    return { ready: false, answer: probeErrorText(error) };
  }
}

function probeTcp(port: number, signal: AbortSignal): Promise<ProbeAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const answer = (result: ProbeAnswer) => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      resolve(result);
    };
    const abort = () => answer({ ready: false, answer: 'no answer in time' });
    signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => answer({ ready: true, answer: 'listening' }));
    socket.once('error', (error) => answer({ ready: false, answer: probeErrorText(error) }));
  });
}

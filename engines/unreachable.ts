import { connect } from 'node:net';
import { probeErrorText } from './probe-error.js';

/** A server that runs takes a connection; one that loads its model still says so in HTTP, and is waited for. */
const connectMs = 5000;

/**
 * Tries to connect, for 5 s at most.
 * @param baseUrl of http or https
 * @returns null: something listens there
 */
export function whyUnreachable(baseUrl: string, signal: AbortSignal): Promise<string | null> {
  const url = new URL(baseUrl);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const answer = (why: string | null) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      socket.destroy();
      resolve(why);
    };
    const end = () => answer('no connection in time');
    const timer = setTimeout(() => answer(`no connection within ${connectMs / 1000} s`), connectMs);
    signal.addEventListener('abort', end, { once: true });
    socket.once('connect', () => answer(null));
    socket.once('error', (error) => answer(probeErrorText(error)));
  });
}

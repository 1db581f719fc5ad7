import { connect } from 'node:net';
import { probeErrorText } from '../engines/probe-error.js';
import { type Probe, pollUntilReady, probe } from '../engines/readiness.js';
import { parseEndpoint } from '../workloads/endpoint.js';
import type { EngineBootstrapper } from './engine-bootstrapper.js';

/** A server that runs takes a connection; one that loads its model still says so in HTTP, and is waited for. */
const connectMs = 5000;

/** An engine that somebody else runs: it is asked, never started or ended. */
export class ExternalEngine implements EngineBootstrapper {
  readonly name: string;
  readonly baseUrl: string;
  readonly logFiles = null;
  failure: string | null = null;

  /** @param url its base URL, e.g. `http://gpu-host:8000` */
  constructor(name: string, url: string) {
    this.name = name;
    this.baseUrl = url.replace(/\/+$/, '');
  }

  start(): void {}

  async waitUntilReady(timeoutSeconds = 60, signal?: AbortSignal): Promise<boolean> {
    let lastAnswer = 'not asked yet';
    const limit = AbortSignal.timeout(timeoutSeconds * 1000);
    const all = signal === undefined ? limit : AbortSignal.any([limit, signal]);
    const unreachable = await whyUnreachable(this.baseUrl, all);
    if (unreachable !== null) {
      this.failure = `${this.name} at ${this.baseUrl} cannot be reached: ${unreachable}. Start the server first, or name where it is (--url).`;
      return false;
    }
    const isReady = await pollUntilReady(this.#probe(), all, (answer) => (lastAnswer = answer));
    this.failure = isReady
      ? null
      : `${this.name} at ${this.baseUrl} was not ready after ${timeoutSeconds} s (last answer: ${lastAnswer})`;
    return isReady;
  }

  async isHealthy(): Promise<boolean> {
    return (await probe(this.#probe(), AbortSignal.timeout(2000))).ready;
  }

  async close(): Promise<void> {}

  #probe(): Probe {
    return { kind: 'http', url: `${this.baseUrl}/health` };
  }
}

/** Tries to connect, for 5 s at most. @returns null: something listens there */
export function whyUnreachable(baseUrl: string, signal: AbortSignal): Promise<string | null> {
  const { hostname: host, port } = parseEndpoint(baseUrl);
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

import { get } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** While nobody listens a look is only a refused connection, but this machine is being measured. */
const refusedPauseMs = 5;
const pauseMs = 2;
const answerLimitMs = 1000;

/** Somebody who looks at servers on his own, to tell when they really began to serve. */
export class HealthPoller {
  readonly #stop = new AbortController();
  readonly #polling: Promise<unknown>;
  /** Milliseconds since 1970 at the first HTTP 200 (or, for a bare port, the first connection), by name. */
  readonly firstServed = new Map<string, number>();

  /** @param targets by name: the URL of a health check, or the number of a port that only listens. */
  constructor(targets: Readonly<Record<string, string | number>>) {
    this.#polling = Promise.all(Object.entries(targets).map(([name, target]) => this.#watch(name, target)));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#polling;
  }

  async #watch(name: string, target: string | number): Promise<void> {
    const { signal } = this.#stop;
    const port = typeof target === 'string' ? Number(new URL(target).port) : target;
    while (!signal.aborted) {
      const isOpen = await listens(port);
      if (isOpen && (typeof target === 'number' || (await answersOk(target)))) {
        this.firstServed.set(name, Date.now());
        return;
      }
      await delay(isOpen ? pauseMs : refusedPauseMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

function answersOk(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: answerLimitMs }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(false));
  });
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

import { type Probe, pollUntilReady, probe } from '../engines/readiness.js';
import { whyUnreachable } from '../engines/unreachable.js';
import type { EngineBootstrapper } from './engine-bootstrapper.js';

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

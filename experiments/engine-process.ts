import { readLogTail } from '../engines/engine-log.js';
import { EngineStartError } from '../engines/errors.js';
import type { EngineRole, LaunchSpec, LogFiles } from '../engines/launch-spec.js';
import { type Probe, pollUntilReady, probe } from '../engines/readiness.js';
import type { RunFleet } from '../engines/run-fleet.js';
import type { EngineBootstrapper } from './engine-bootstrapper.js';

const defaultReadySeconds = 60;
const lookMs = 50;
const shownLogLines = 12;
const longestOwner = 200;

/** A server that the run's keeper starts and ends, as a process or a container. */
export class EngineProcess implements EngineBootstrapper {
  readonly name: string;
  readonly baseUrl: string | null;
  readonly logFiles: LogFiles;
  readonly #fleet: RunFleet;
  readonly #spec: LaunchSpec & { readonly logFiles: LogFiles };
  readonly #signal: AbortSignal;
  #started: Promise<void> | null = null;
  #closing: Promise<void> | null = null;
  #wasReady = false;
  #failure: string | null = null;

  /** @param signal of the run: nothing is started after it. */
  constructor(fleet: RunFleet, spec: LaunchSpec & { readonly logFiles: LogFiles }, signal: AbortSignal) {
    this.name = spec.name;
    this.baseUrl = spec.healthUrl === null ? null : new URL(spec.healthUrl).origin;
    this.logFiles = spec.logFiles;
    this.#fleet = fleet;
    this.#spec = spec;
    this.#signal = signal;
  }

  get role(): EngineRole {
    return this.#spec.role;
  }

  get failure(): string | null {
    if (this.#failure !== null) return this.#failure;
    const state = this.#fleet.state(this.role);
    if (this.#closing !== null || state.status !== 'failed') return null;
    const { stdout, stderr } = this.logFiles;
    // One that did not get ready has its last lines told, too.
    return this.#wasReady ? `${state.message}; its logs: ${stdout}, ${stderr}` : state.message;
  }

  start(): void {
    this.#started ??= this.#fleet.launch([this.#spec], this.#signal).catch((error: unknown) => {
      this.#failure = error instanceof EngineStartError ? startFailure(error) : String(error);
    });
  }

  async waitUntilReady(timeoutSeconds = defaultReadySeconds, signal?: AbortSignal): Promise<boolean> {
    this.start();
    const ending = new AbortController();
    const limit = AbortSignal.timeout(timeoutSeconds * 1000);
    const all = AbortSignal.any([this.#signal, limit, ending.signal, ...(signal ? [signal] : [])]);
    const watch = setInterval(() => {
      if (this.failure !== null) ending.abort();
    }, lookMs);
    let lastAnswer = 'not asked yet';
    try {
      await this.#started;
      if (this.failure === null && (await pollUntilReady(this.#probe(), all, (answer) => (lastAnswer = answer)))) {
        this.#wasReady = true;
        return true;
      }
    } finally {
      clearInterval(watch);
    }
    const { status } = this.#fleet.state(this.role);
    // One that never ran has said nothing.
    if (this.failure !== null)
      this.#failure = `${this.failure}${status === 'unstarted' ? '' : await this.#lastLines()}`;
    else if (limit.aborted) {
      this.#failure = `${this.name} was not ready after ${timeoutSeconds} s (last answer: ${lastAnswer})${await this.#lastLines()}`;
    }
    return false;
  }

  async isHealthy(): Promise<boolean> {
    const { status } = this.#fleet.state(this.role);
    if (this.#closing !== null || this.failure !== null || (status !== 'starting' && status !== 'ready')) return false;
    return !this.#wasReady || (await probe(this.#probe(), this.#signal)).ready;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#started;
    if (this.#started !== null) await this.#fleet.stop(this.role);
  }

  #probe(): Probe {
    const { healthUrl, ports } = this.#spec;
    return healthUrl === null ? { kind: 'tcp', port: ports[0] ?? 0 } : { kind: 'http', url: healthUrl };
  }

  /** What it said last; where to read the rest. */
  async #lastLines(): Promise<string> {
    const { stdout, stderr } = this.logFiles;
    const lines = [...(await readLogTail(stdout, shownLogLines)), ...(await readLogTail(stderr, shownLogLines))];
    return `; its logs: ${stdout}, ${stderr}${lines.map((line) => `\n    ${line}`).join('')}`;
  }
}

/** Evidence as lines below the message: who has the port, what each GPU holds. */
function startFailure({ message, evidence, failureCause }: EngineStartError): string {
  const said = failureCause === 'port-taken' ? evidence[0] : undefined;
  if (said !== undefined) return `${shorten(said)}. End that process, or choose other ports.`;
  return [message, ...evidence.map((line) => `    ${line}`)].join('\n');
}

/** A neighbour's command line can be pages long. */
function shorten(text: string): string {
  return text.length > longestOwner ? `${text.slice(0, longestOwner)}...` : text;
}

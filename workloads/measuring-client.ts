import { ConnectionPool } from './connection-pool.js';
import { type Endpoint, parseEndpoint, serialiseRequest } from './endpoint.js';
import { type RoundOptions, type RoundRequest, type RoundResult, runRound } from './request-round.js';
import { detectSimulation } from './simulation.js';
import type { SimulatedBy, Target } from './target.js';

/** Sends rounds of requests to one server over one pool of connections; close it when done. */
export class MeasuringClient {
  readonly target: Target;
  /** null: a real server. */
  readonly simulated: SimulatedBy | null;
  readonly endpoint: Endpoint;
  readonly #pool: ConnectionPool;

  private constructor(target: Target, endpoint: Endpoint, simulated: SimulatedBy | null, signal: AbortSignal) {
    this.target = target;
    this.simulated = simulated;
    this.endpoint = endpoint;
    this.#pool = new ConnectionPool(endpoint, signal);
  }

  /**
   * Asks the server once whether it is simulated.
   * @throws ServerUnreachableError; TypeError for a malformed base URL.
   */
  static async connect(target: Target, signal: AbortSignal): Promise<MeasuringClient> {
    const endpoint = parseEndpoint(target.baseUrl);
    return new MeasuringClient(target, endpoint, await detectSimulation(target, signal), signal);
  }

  /** Seconds of the server's time a wall-clock second. */
  get speed(): number {
    return this.simulated?.speed ?? 1;
  }

  /** A request ready to be written. @param intendedStart seconds of the server's time after the round's start */
  prepare(
    path: string,
    body: unknown,
    options: {
      readonly expectedTokens: number;
      readonly intendedStart?: number;
      readonly requestId?: string;
      readonly headers?: Readonly<Record<string, string>>;
    },
  ): RoundRequest {
    return {
      parts: serialiseRequest(this.endpoint, this.target, path, body, options.requestId ?? null, options.headers),
      intendedStart: options.intendedStart ?? 0,
      expectedTokens: options.expectedTokens,
    };
  }

  run(requests: readonly RoundRequest[], options: Omit<RoundOptions, 'speed'>): Promise<RoundResult> {
    return runRound(this.#pool, requests, { ...options, speed: this.speed });
  }

  close(): void {
    this.#pool.close();
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { classifyEngineEnd } from '../../engines/blame.js';
import { describeExit } from '../../engines/describe-exit.js';
import { readLogTail } from '../../engines/engine-log.js';
import type { LaunchSpec } from '../../engines/launch-spec.js';
import { releasePort } from '../../engines/machine-claim.js';
import { pollUntilReady } from '../../engines/readiness.js';
import type { RunFleet } from '../../engines/run-fleet.js';
import { ExpectedFailure } from '../../results-schema/expected-failure.js';
import { waitForLine } from './ready-line.js';

/** A server did not get ready, or ended while it was used: an expected failure of one experiment. */
export class ServerFailure extends ExpectedFailure {
  override readonly name = 'ServerFailure';
}

const watchMs = 50;
const judgedLogLines = 400;
const shownLogLines = 20;

/** One server of a sweep: started, waited for, watched and stopped through the run's keeper. */
export class SweepServer {
  readonly baseUrl: string;
  readonly #fleet: RunFleet;
  readonly #spec: LaunchSpec;
  readonly #logFile: string;

  constructor(fleet: RunFleet, spec: LaunchSpec, logFile: string) {
    this.#fleet = fleet;
    this.#spec = spec;
    this.#logFile = logFile;
    this.baseUrl = `http://127.0.0.1:${spec.ports[0]}`;
  }

  /**
   * Starts it and waits until a line of its log matches `ready` and its health check answers.
   * @returns wall-clock seconds that it took
   * @throws EngineStartError, ServerFailure; the signal's reason when it is aborted
   */
  async start(ready: RegExp, timeoutSeconds: number, signal: AbortSignal): Promise<number> {
    const startedAt = performance.now();
    await this.#fleet.launch([this.#spec], signal);
    const limit = AbortSignal.timeout(timeoutSeconds * 1000);
    const over = new AbortController();
    const ended = new AbortController();
    const watching = this.untilEnded(AbortSignal.any([signal, limit, over.signal])).then((isEnded) => {
      if (isEnded) ended.abort();
    });
    const all = AbortSignal.any([signal, limit, ended.signal]);
    let lastAnswer = 'not asked yet';
    const isHealthy = pollUntilReady({ kind: 'http', url: `${this.baseUrl}/health` }, all, (answer) => {
      lastAnswer = answer;
    });
    const [saidSo, answered] = await Promise.all([waitForLine(this.#logFile, ready, all), isHealthy]);
    over.abort();
    await watching;
    if (saidSo && answered) return (performance.now() - startedAt) / 1000;
    signal.throwIfAborted();
    if (ended.signal.aborted) throw await this.ended('before it served');
    const health = answered ? '/health answers, but' : `/health: ${lastAnswer};`;
    const line = saidSo ? 'its log has the line' : `no line of its log matches /${ready.source}/`;
    throw new ServerFailure(
      `The server was not ready after ${timeoutSeconds} s: ${health} ${line}. See ${this.#logFile}.`,
      { reason: 'infrastructure', failureCause: 'timeout', evidence: await this.#lastLines() },
    );
  }

  /** Resolves with true when it has ended by itself, with false when the signal is aborted first. */
  async untilEnded(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      if (this.#hasEnded()) return true;
      await delay(watchMs, undefined, { signal }).catch(() => undefined);
    }
    return false;
  }

  /** Why it ended. @param when e.g. `before it served` */
  async ended(when: string): Promise<ServerFailure> {
    const state = this.#fleet.state(this.#spec.role);
    const exit = state.status === 'failed' ? state.exit : null;
    const blame = classifyEngineEnd(await readLogTail(this.#logFile, judgedLogLines), exit);
    const how = exit === null ? 'it is gone' : describeExit(exit);
    const why = blame.evidence === null ? '' : `: ${blame.evidence}`;
    return new ServerFailure(`The server died ${when}: ${how}${why}. See ${this.#logFile}.`, {
      reason: blame.reason,
      failureCause: blame.cause,
      evidence: await this.#lastLines(),
    });
  }

  /** A dead server may be noticed a little after its last answer. */
  async hasEndedSoon(limitMs: number): Promise<boolean> {
    return this.untilEnded(AbortSignal.timeout(limitMs));
  }

  /** Harmless when it never ran. @throws when it cannot be ended. */
  async stop(): Promise<void> {
    if (this.#fleet.state(this.#spec.role).status !== 'unstarted') await this.#fleet.stop(this.#spec.role);
    for (const port of this.#spec.ports) releasePort(port);
  }

  #hasEnded(): boolean {
    const { status } = this.#fleet.state(this.#spec.role);
    return status === 'failed' || status === 'stopped';
  }

  #lastLines(): Promise<readonly string[]> {
    return readLogTail(this.#logFile, shownLogLines);
  }
}

import type { LmcacheConnector, StepTimeModel } from '../contracts.js';
import type { ScheduledStep } from './scheduler.js';
import type { Sequence } from './sequence.js';

export interface CacheTrafficOptions {
  readonly connector: LmcacheConnector;
  readonly stepTime: StepTimeModel;
  /** Simulated time up to which the engine's history is decided. */
  readonly time: () => number;
  /** The tier has said how many tokens of a sequence it holds. */
  readonly onLookup: (sequence: Sequence, hitTokens: number) => void;
  /** A load has failed, and the sequence is to end with it. @param lostTokens promised and not there */
  readonly onLoadFailed: (sequence: Sequence, lostTokens: number) => void;
  /** An answer has come, and may let the engine go on. */
  readonly onAnswer: () => void;
  /** The connector has failed. */
  readonly onFatal: (error: unknown) => void;
}

interface LostLoad {
  readonly sequence: Sequence;
  readonly dueAt: number;
  /** Promised, and not there. */
  readonly tokens: number;
}

/**
 * What the engine asks of the cache tier behind its connector, and what comes back: lookups before a step, loads beside
 * steps, stores after them. Answers are written into `remote` of their sequence, where the scheduler finds them.
 */
export class CacheTraffic {
  readonly #options: CacheTrafficOptions;
  /** Starts of the loads the tier has not answered yet. */
  readonly #unansweredLoads: number[] = [];
  /** Loads that are lost, until the engine learns of it. */
  #lostLoads: LostLoad[] = [];
  /** Simulated time during which a lookup that nobody answers keeps the scheduler from its next step. */
  #blocked = { from: 0, until: 0 };

  constructor(options: CacheTrafficOptions) {
    this.#options = options;
  }

  /** Asks how much of a sequence the tier holds, once. */
  lookUp(sequence: Sequence): void {
    const { connector, stepTime, time, onLookup } = this.#options;
    if (sequence.remote.kind !== 'unasked') return;
    sequence.remote = { kind: 'asked' };
    const askedAt = Math.max(time(), sequence.times.queued);
    this.#await(connector.lookup(sequence.allTokens()), (hitTokens) => {
      const blockedSeconds = connector.takeBlockedSeconds?.() ?? 0;
      if (blockedSeconds > 0) {
        const from = Math.max(time(), askedAt);
        this.#blocked = { from, until: from + blockedSeconds };
      }
      if (sequence.remote.kind !== 'asked') return;
      sequence.remote = { kind: 'answered', hitTokens, unspentSeconds: stepTime.lookupSeconds(hitTokens) };
      onLookup(sequence, hitTokens);
      // What the tier has need not be stored again.
      sequence.storedTokens = Math.max(sequence.storedTokens, wholeChunks(hitTokens, connector));
    });
  }

  /** The scheduler waits for the tier's answers before a step; one lookup after the other. */
  spendLookups(sequences: readonly Sequence[]): number {
    let seconds = 0;
    for (const sequence of sequences) {
      const { remote } = sequence;
      if (remote.kind !== 'answered') continue;
      seconds += remote.unspentSeconds;
      sequence.remote = { ...remote, unspentSeconds: 0 };
    }
    return seconds;
  }

  /** When a step that could begin at `time` begins: later, while a lookup holds the whole engine up. */
  beginOfStep(time: number): number {
    return time >= this.#blocked.from ? Math.max(time, this.#blocked.until) : time;
  }

  /**
   * Starts the copy of tokens [localTokens, hitTokens) into the GPU; its end is known when the tier answers.
   * @param besideSteps steps of other sequences go on meanwhile.
   */
  load(sequence: Sequence, hitTokens: number, localTokens: number, besideSteps: boolean): void {
    const { connector } = this.#options;
    const startedAt = this.#options.time();
    this.#unansweredLoads.push(startedAt);
    this.#await(
      connector.load(sequence.allTokens(), hitTokens, localTokens, startedAt, besideSteps),
      ({ seconds, loadedTokens, failed = false }) => {
        this.#unansweredLoads.splice(this.#unansweredLoads.indexOf(startedAt), 1);
        if (sequence.remote.kind !== 'loading') return;
        const dueAt = startedAt + seconds;
        if (failed) this.#lostLoads.push({ sequence, dueAt, tokens: hitTokens - loadedTokens });
        if (loadedTokens < hitTokens) sequence.storedTokens = wholeChunks(loadedTokens, connector);
        sequence.remote = { ...sequence.remote, dueAt, hitTokens, loadedTokens };
      },
    );
  }

  /** Ends the sequences whose loads have failed by then. */
  failLostLoads(time: number): void {
    const due = this.#lostLoads.filter(({ dueAt }) => dueAt <= time);
    if (due.length === 0) return;
    this.#lostLoads = this.#lostLoads.filter(({ dueAt }) => dueAt > time);
    for (const { sequence, tokens } of due) {
      if (sequence.finished === null) this.#options.onLoadFailed(sequence, tokens);
    }
  }

  /** A load that began before `time` may have ended by then; only its answer tells. */
  hasUnansweredLoad(time: number): boolean {
    return this.#unansweredLoads.some((startedAt) => startedAt < time);
  }

  /** Hands over the chunks that became full in this step, once its tokens are on their way. */
  store(step: ScheduledStep): void {
    const { connector } = this.#options;
    for (const { sequence } of step.entries) {
      const tokens = storableTokens(sequence);
      const kept = connector.storesDecoded ? tokens : Math.min(tokens, sequence.promptIds.length);
      const full = wholeChunks(kept, connector);
      if (full <= sequence.storedTokens) continue;
      const from = sequence.storedTokens;
      sequence.storedTokens = full;
      const stored = sequence.allTokens().slice(0, full);
      queueMicrotask(() => connector.store(stored, from));
    }
  }

  #await<T>(answer: Promise<T>, use: (value: T) => void): void {
    answer.then(
      (value) => {
        use(value);
        this.#options.onAnswer();
      },
      (error: unknown) => this.#options.onFatal(error),
    );
  }
}

/** The end of the load that ends first after `time`, of those whose end is known; infinite when there is none. */
export function nextLoadEnd(sequences: readonly Sequence[], time: number): number {
  let next = Number.POSITIVE_INFINITY;
  for (const { remote } of sequences) {
    if (remote.kind === 'loading' && remote.dueAt !== null && remote.dueAt > time) next = Math.min(next, remote.dueAt);
  }
  return next;
}

function wholeChunks(tokens: number, { chunkTokens }: LmcacheConnector): number {
  return Math.floor(tokens / chunkTokens) * chunkTokens;
}

/** A sequence that ended in this step has given its blocks back, but everything before its last token was computed. */
function storableTokens(sequence: Sequence): number {
  if (sequence.finished === 'abort') return 0;
  return sequence.finished === null ? sequence.computedTokens : sequence.totalTokens - 1;
}

import type { LmcacheConnector, StepTimeModel } from '../contracts.js';
import type { EngineClock } from './engine-clock.js';
import { type ScheduledStep, Scheduler, type SchedulerLimits } from './scheduler.js';
import type { FinishReason, Sequence } from './sequence.js';

/**
 * How long the choice of a step waits, in wall time, for real work whose simulated time has passed already: answers
 * of the cache tier, and requests whose body is still being read. The wait does not move the schedule; what takes
 * longer is passed over.
 */
const REAL_WORK_PATIENCE_MS = 60;

export interface StepReport {
  /** Simulated time at which the step ended. */
  readonly at: number;
  /** Prompt tokens computed for sequences that got their first token, and tokens generated. */
  readonly promptTokens: number;
  readonly generatedTokens: number;
}

export interface EngineListener {
  /** A sequence got a token (the last of `outputIds`), or ended. Nobody may see it before `onStep` follows. */
  onToken(sequence: Sequence, at: number): void;
  /** The tokens of a step are due: clients see them from now on. */
  onStep(report: StepReport): void;
  /** The cache tier has said how many tokens of a sequence it holds. */
  onLookup?(sequence: Sequence, hitTokens: number): void;
  /** The engine cannot go on. */
  onFatal(error: unknown): void;
}

export interface EngineLoopOptions {
  readonly limits: SchedulerLimits;
  readonly stepTime: StepTimeModel;
  readonly clock: EngineClock;
  readonly connector: LmcacheConnector | null;
  readonly listener: EngineListener;
}

interface RunningStep {
  readonly scheduled: ScheduledStep;
  readonly endsAt: number;
}

/** A step that has ended, and whose tokens are ready. */
interface EndedStep {
  readonly report: StepReport;
  /** When they leave. */
  readonly dueAt: number;
}

/**
 * Runs the scheduler in simulated time. Steps follow each other on an absolute schedule: a step that is noticed
 * late, or whose tokens are sent late, does not move the next one. An engine without work asks for no wake-up.
 */
export class EngineLoop {
  readonly scheduler: Scheduler;
  readonly #options: EngineLoopOptions;
  readonly #stepTime: StepTimeModel;
  /** Simulated time up to which the engine's history is decided. */
  #time = 0;
  #step: RunningStep | null = null;
  #ended: EndedStep | null = null;
  /** Submitted sequences in order of arrival, not yet visible to the scheduler. */
  #arrivals: Sequence[] = [];
  #apiBusyUntil = 0;
  /** Requests reach the scheduler in the order they came in. */
  #lastQueued = 0;
  #sustainedPrefillSeconds = 0;
  /** Starts of the loads the cache tier has not answered yet. */
  readonly #unansweredLoads: number[] = [];
  /** Arrival times of requests that are not read and tokenised yet. */
  readonly #announced: number[] = [];
  #patience: { readonly cancel: () => void; over: boolean } | null = null;
  #closed = false;
  /** Simulated time during which a lookup that nobody answers keeps the scheduler from its next step. */
  #blocked = { from: 0, until: 0 };
  /** Simulated time since which the engine hangs, or null. */
  #heldSince: number | null = null;
  #turning = false;

  constructor(options: EngineLoopOptions) {
    this.#options = options;
    this.#stepTime = options.stepTime;
    this.scheduler = new Scheduler(
      options.limits,
      options.connector === null ? null : (sequence, hit, local) => this.#load(sequence, hit, local),
    );
  }

  /**
   * A request has begun to come in at simulated time `arrival`. Until the returned function is called, no step is
   * chosen that the request could have been part of.
   */
  announce(arrival: number): () => void {
    this.#announced.push(arrival);
    return () => {
      const index = this.#announced.indexOf(arrival);
      if (index < 0) return;
      this.#announced.splice(index, 1);
      this.#turn();
    };
  }

  /**
   * Takes one request: its sequences (several for n > 1) become visible to the scheduler when the API process
   * is done with it; a part of that time it serves no other request.
   * @param arrival simulated time at which the request came in; what parsing and tokenising really took since
   * then is so a part of the simulated API time, not on top of it.
   */
  submit(sequences: readonly Sequence[], arrival: number): void {
    const first = sequences[0];
    if (first === undefined || this.#closed) return;
    const start = Math.max(arrival, this.#apiBusyUntil);
    const promptTokens = first.promptIds.length;
    this.#apiBusyUntil = start + this.#stepTime.apiBusySeconds(promptTokens);
    const distinctTokens = first.options.cameAsIds === true ? null : first.distinctTokens;
    this.#lastQueued = Math.max(this.#lastQueued, start + this.#stepTime.apiSeconds(promptTokens, distinctTokens));
    for (const sequence of sequences) {
      sequence.times.arrival = arrival;
      sequence.times.queued = this.#lastQueued;
      this.#arrivals.push(sequence);
    }
    if (this.#couldBeNext()) for (const sequence of sequences) this.#lookUp(sequence);
    this.#turn();
  }

  /** Ends a sequence early: its client left, or a stop string was found. */
  finish(sequence: Sequence, reason: FinishReason): void {
    if (sequence.finished !== null) return;
    this.#arrivals = this.#arrivals.filter((other) => other !== sequence);
    this.scheduler.finish(sequence, reason);
    this.#turn();
  }

  /** Does now what is due, for a caller that keeps the event loop from waking the engine in time. */
  catchUp(): void {
    this.#turn();
  }

  /** Sequences that have come in and not ended, those in the API process included. */
  get unfinished(): number {
    return this.#arrivals.length + this.scheduler.waiting.length + this.scheduler.running.length;
  }

  /** Makes the engine hang, as a fault does, or go on: time in between is as if it had not been. */
  hold(held: boolean): void {
    const now = this.#options.clock.now();
    if (held) {
      this.#heldSince ??= now;
      this.#options.clock.cancelWake();
      return;
    }
    if (this.#heldSince === null) return;
    const missed = now - this.#heldSince;
    this.#heldSince = null;
    if (this.#step === null) this.#time = Math.max(this.#time, now);
    else this.#step = { ...this.#step, endsAt: this.#step.endsAt + missed };
    this.#turn();
  }

  close(): void {
    this.#closed = true;
    this.#options.clock.cancelWake();
    this.#patience?.cancel();
  }

  /** Advances as far as the present allows, then asks to be woken when the next thing is due. */
  readonly #turn = (): void => {
    // Listeners may end sequences, which turns the loop again: the outer turn goes on anyway.
    if (this.#closed || this.#turning || this.#heldSince !== null) return;
    this.#turning = true;
    try {
      while (this.#advance());
    } catch (error) {
      this.close();
      this.#options.listener.onFatal(error);
    } finally {
      this.#turning = false;
    }
  };

  /** One event of the engine's history; false when the next one lies in the future or there is none. */
  #advance(): boolean {
    const { clock } = this.#options;
    if (this.#step !== null) {
      // Real work is a part of simulated time, not on top of it: done before, so that tokens leave when they are due.
      const dueAt = this.#step.endsAt + this.#stepTime.deliverySeconds - clock.sendingSeconds;
      const beginAt = dueAt - clock.preparationSeconds(this.#step.scheduled.entries.length);
      if (clock.now() < beginAt) {
        clock.wakeAt(beginAt, this.#turn);
        return false;
      }
      this.#ended = { report: this.#endStep(this.#step), dueAt };
      return !this.#closed;
    }
    if (this.#ended !== null) {
      const { report, dueAt } = this.#ended;
      if (clock.now() < dueAt) {
        clock.wakeAt(dueAt, this.#turn);
        return false;
      }
      this.#ended = null;
      this.#options.listener.onStep(report);
      if (this.#closed) return false;
      // One that cannot keep up would leave the event loop no time to see that a client has gone.
      const isLate = clock.now() - dueAt > clock.preparationSeconds(report.generatedTokens);
      if (isLate) clock.wakeAt(clock.now(), this.#turn);
      return !isLate;
    }
    if (this.#time >= this.#blocked.from) this.#time = Math.max(this.#time, this.#blocked.until);
    // What arrives until then still belongs into the next step.
    if (clock.now() < this.#time) {
      clock.wakeAt(this.#time, this.#turn);
      return false;
    }
    this.#admitArrivals();
    this.#askConnector();
    if (this.#mustWaitForRealWork()) {
      clock.cancelWake();
      return false;
    }
    this.#time += this.#spendLookups();
    const scheduled = this.scheduler.schedule(this.#time);
    if (scheduled !== null) {
      const shape = { ...scheduled.shape, sustainedPrefillSeconds: this.#sustainedPrefillSeconds };
      const seconds = this.#stepTime.stepSeconds(shape);
      this.#warm(shape.prefills.length > 0 ? seconds : -seconds);
      this.#step = { scheduled, endsAt: this.#time + seconds };
      return true;
    }
    // A load that just began may have no end yet; its answer will turn the loop again.
    const next = this.#nextEvent();
    if (next === null) {
      clock.cancelWake();
      return false;
    }
    if (clock.now() < next) {
      clock.wakeAt(next, this.#turn);
      return false;
    }
    this.#warm(this.#time - next);
    this.#time = next;
    return true;
  }

  /** A GPU cools as fast as it warms up; what takes no prefill cools it. */
  #warm(seconds: number): void {
    const warmth = this.#sustainedPrefillSeconds + seconds;
    this.#sustainedPrefillSeconds = Math.min(Math.max(0, warmth), this.#stepTime.warmUpSeconds);
  }

  /** Gives the tokens of a step to the listener. */
  #endStep(step: RunningStep): StepReport {
    this.#step = null;
    this.#time = step.endsAt;
    const { listener } = this.#options;
    const sampled = this.scheduler.complete(step.scheduled);
    this.#store(step.scheduled);
    const first: Sequence[] = [];
    const later: Sequence[] = [];
    let promptTokens = 0;
    for (const sequence of sampled) {
      if (!Number.isNaN(sequence.times.firstToken)) {
        later.push(sequence);
        continue;
      }
      sequence.times.firstToken = step.endsAt;
      promptTokens += sequence.promptIds.length - sequence.cachedTokens;
      first.push(sequence);
    }
    // Sending takes real time, which a first token can spare least.
    for (const sequence of [...first, ...later]) {
      listener.onToken(sequence, step.endsAt);
      sequence.times.lastToken = step.endsAt;
    }
    return { at: step.endsAt, promptTokens, generatedTokens: sampled.length };
  }

  #admitArrivals(): void {
    while (this.#arrivals.length > 0) {
      const first = this.#arrivals[0];
      if (first === undefined || first.times.queued > this.#time) return;
      this.#arrivals.shift();
      this.scheduler.add(first);
    }
  }

  /** The earliest arrival, answer or end of a load after the engine's present; null when there is none. */
  #nextEvent(): number | null {
    let next = this.#arrivals[0]?.times.queued ?? Number.POSITIVE_INFINITY;
    for (const { remote } of this.scheduler.waiting) {
      if (remote.kind === 'loading' && remote.dueAt !== null && remote.dueAt > this.#time) {
        next = Math.min(next, remote.dueAt);
      }
    }
    return next === Number.POSITIVE_INFINITY ? null : next;
  }

  #askConnector(): void {
    for (const sequence of this.scheduler.needsLookup()) this.#lookUp(sequence);
  }

  /** Nothing that is known to need a whole step stands before a new request, so its lookup may overlap its API time. */
  #couldBeNext(): boolean {
    const { maxNumBatchedTokens } = this.#options.limits;
    let ahead = 0;
    for (const { remote, totalTokens, computedTokens } of [...this.scheduler.waiting, ...this.#arrivals]) {
      if (remote.kind === 'answered') ahead += totalTokens - remote.hitTokens;
      if (remote.kind === 'done') ahead += totalTokens - computedTokens;
    }
    return ahead < maxNumBatchedTokens;
  }

  #lookUp(sequence: Sequence): void {
    const { connector } = this.#options;
    if (connector === null || sequence.remote.kind !== 'unasked') return;
    sequence.remote = { kind: 'asked' };
    const askedAt = Math.max(this.#time, sequence.times.queued);
    this.#await(connector.lookup(sequence.allTokens()), (hitTokens) => {
      const blockedSeconds = connector.takeBlockedSeconds?.() ?? 0;
      if (blockedSeconds > 0) {
        const from = Math.max(this.#time, askedAt);
        this.#blocked = { from, until: from + blockedSeconds };
      }
      if (sequence.remote.kind !== 'asked') return;
      sequence.remote = { kind: 'answered', hitTokens, unspentSeconds: this.#stepTime.lookupSeconds(hitTokens) };
      this.#options.listener.onLookup?.(sequence, hitTokens);
      // What the tier has need not be stored again.
      sequence.storedTokens = Math.max(sequence.storedTokens, wholeChunks(hitTokens, connector));
    });
  }

  /** The scheduler waits for the cache tier's answers before a step; those to lookups of one step come together. */
  #spendLookups(): number {
    let seconds = 0;
    for (const sequence of this.scheduler.needsLookup()) {
      const { remote } = sequence;
      if (remote.kind !== 'answered') continue;
      seconds = Math.max(seconds, remote.unspentSeconds);
      sequence.remote = { ...remote, unspentSeconds: 0 };
    }
    return seconds;
  }

  #load(sequence: Sequence, hitTokens: number, localTokens: number): void {
    const { connector } = this.#options;
    if (connector === null) return;
    const startedAt = this.#time;
    this.#unansweredLoads.push(startedAt);
    this.#await(
      connector.load(sequence.allTokens(), hitTokens, localTokens, startedAt),
      ({ seconds, loadedTokens }) => {
        this.#unansweredLoads.splice(this.#unansweredLoads.indexOf(startedAt), 1);
        if (sequence.remote.kind !== 'loading') return;
        if (loadedTokens < hitTokens) sequence.storedTokens = wholeChunks(loadedTokens, connector);
        sequence.remote = { ...sequence.remote, dueAt: startedAt + seconds, hitTokens, loadedTokens };
      },
    );
  }

  #await<T>(answer: Promise<T>, use: (value: T) => void): void {
    answer.then(
      (value) => {
        use(value);
        this.#turn();
      },
      (error: unknown) => {
        this.close();
        this.#options.listener.onFatal(error);
      },
    );
  }

  #mustWaitForRealWork(): boolean {
    if (!this.#realWorkIsLate()) {
      this.#patience?.cancel();
      this.#patience = null;
      return false;
    }
    if (this.#patience === null) {
      const patience = {
        over: false,
        cancel: this.#options.clock.afterWallMs(REAL_WORK_PATIENCE_MS, () => {
          patience.over = true;
          this.#turn();
        }),
      };
      this.#patience = patience;
    }
    return !this.#patience.over;
  }

  #realWorkIsLate(): boolean {
    if (this.scheduler.waiting.some(({ remote }) => remote.kind === 'asked')) return true;
    // A load outlasts the step chosen as it began; only the next choice may need its end.
    if (this.#unansweredLoads.some((startedAt) => startedAt < this.#time)) return true;
    const shortestApiSeconds = this.#stepTime.apiSeconds(0, 0);
    return this.#announced.some((arrival) => arrival + shortestApiSeconds <= this.#time);
  }

  /** Hands over the chunks that became full in this step, once its tokens are on their way. */
  #store(step: ScheduledStep): void {
    const { connector } = this.#options;
    if (connector === null) return;
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
}

function wholeChunks(tokens: number, { chunkTokens }: LmcacheConnector): number {
  return Math.floor(tokens / chunkTokens) * chunkTokens;
}

/** A sequence that ended in this step has given its blocks back, but everything before its last token was computed. */
function storableTokens(sequence: Sequence): number {
  if (sequence.finished === 'abort') return 0;
  return sequence.finished === null ? sequence.computedTokens : sequence.totalTokens - 1;
}

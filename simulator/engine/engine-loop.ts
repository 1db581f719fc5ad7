import type { LmcacheConnector, StepTimeModel } from '../contracts.js';
import { Arrivals } from './arrivals.js';
import { CacheTraffic, nextLoadEnd } from './cache-traffic.js';
import { Delivery } from './delivery.js';
import type { EngineClock } from './engine-clock.js';
import type { EngineListener } from './engine-listener.js';
import { GpuWarmth } from './gpu-warmth.js';
import { Patience } from './patience.js';
import { type PauseState, type ScheduledStep, Scheduler, type SchedulerLimits, type StartLoad } from './scheduler.js';
import type { FinishReason, Sequence } from './sequence.js';

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

/**
 * Runs the scheduler in simulated time. Steps follow each other on an absolute schedule: a step that is noticed
 * late, or whose tokens are sent late, does not move the next one. An engine without work asks for no wake-up.
 *
 * Requests flow through it one way: arrivals, the cache tier's answers, scheduler, running step, delivery.
 */
export class EngineLoop {
  readonly scheduler: Scheduler;
  readonly #options: EngineLoopOptions;
  readonly #arrivals: Arrivals;
  /** null without a cache tier. */
  readonly #cache: CacheTraffic | null;
  readonly #delivery: Delivery;
  readonly #patience: Patience;
  readonly #warmth: GpuWarmth;
  /** Simulated time up to which the engine's history is decided. */
  #time = 0;
  #step: RunningStep | null = null;
  /** When the engine last asked which loads have ended: once a step, as its kernels are launched. */
  #polledAt = 0;
  #closed = false;
  /** Simulated time since which the engine hangs, or null. */
  #heldSince: number | null = null;
  #turning = false;
  /** Told once a pause has come into force. */
  #awaitingRest: (() => void)[] = [];

  constructor(options: EngineLoopOptions) {
    const { limits, stepTime, clock, connector, listener } = options;
    this.#options = options;
    this.#arrivals = new Arrivals(stepTime);
    const cache =
      connector &&
      new CacheTraffic({
        connector,
        stepTime,
        time: () => this.#time,
        onLookup: (sequence, hitTokens) => listener.onLookup?.(sequence, hitTokens),
        onLoadFailed: (sequence, lostTokens) => listener.onLoadFailed?.(sequence, lostTokens),
        onAnswer: () => this.#turn(),
        onFatal: (error) => this.#fail(error),
      });
    this.#cache = cache;
    const startLoad: StartLoad = (sequence, hitTokens, localTokens) =>
      cache?.load(sequence, hitTokens, localTokens, this.scheduler.running.length > 0);
    this.scheduler = new Scheduler(limits, cache && startLoad);
    this.#delivery = new Delivery(clock, listener, stepTime.deliverySeconds);
    this.#patience = new Patience(clock, () => this.#turn());
    this.#warmth = new GpuWarmth(stepTime.warmUpSeconds);
  }

  /**
   * A request has begun to come in at simulated time `arrival`. Until the returned function is called, no step is
   * chosen that the request could have been part of.
   */
  announce(arrival: number): () => void {
    const read = this.#arrivals.announce(arrival);
    return () => {
      if (read()) this.#turn();
    };
  }

  /**
   * Takes one request: its sequences (several for n > 1) become visible to the scheduler when the API process
   * is done with it; a part of that time it serves no other request.
   * @param arrival simulated time at which the request came in; what parsing and tokenising really took since
   * then is so a part of the simulated API time, not on top of it.
   */
  submit(sequences: readonly Sequence[], arrival: number): void {
    if (sequences.length === 0 || this.#closed) return;
    this.#arrivals.submit(sequences, arrival);
    if (this.#couldBeNext()) for (const sequence of sequences) this.#cache?.lookUp(sequence);
    this.#turn();
  }

  /** Ends a sequence early: its client left, or a stop string was found. */
  finish(sequence: Sequence, reason: FinishReason): void {
    if (sequence.finished !== null) return;
    this.#arrivals.remove(sequence);
    this.scheduler.finish(sequence, reason);
    this.#turn();
  }

  /** Does now what is due, for a caller that keeps the event loop from waking the engine in time. */
  catchUp(): void {
    this.#turn();
  }

  /** Sequences that have come in and not ended, those in the API process included. */
  get unfinished(): number {
    return this.#arrivals.queue.length + this.scheduler.waiting.length + this.scheduler.running.length;
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

  /**
   * Begins no more work: `new` lets running sequences go on to their end, `all` does not.
   * @returns when nothing runs any more.
   */
  pause(state: Exclude<PauseState, 'none'>): Promise<void> {
    this.scheduler.pauseState = state;
    return new Promise((resolve) => {
      this.#awaitingRest.push(resolve);
      this.#turn();
    });
  }

  /** Goes on after a pause; time in between is as if it had not been. */
  resume(): void {
    this.scheduler.pauseState = 'none';
    if (this.#step === null) this.#time = Math.max(this.#time, this.#options.clock.now());
    this.#turn();
  }

  close(): void {
    this.#closed = true;
    this.#options.clock.cancelWake();
    this.#patience.end();
  }

  /** Advances as far as the present allows, then asks to be woken when the next thing is due. */
  readonly #turn = (): void => {
    // Listeners may end sequences, which turns the loop again: the outer turn goes on anyway.
    if (this.#closed || this.#turning || this.#heldSince !== null) return;
    this.#turning = true;
    try {
      while (this.#advance());
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#turning = false;
    }
    if (this.#awaitingRest.length > 0 && this.#rests) {
      for (const resolve of this.#awaitingRest.splice(0)) resolve();
    }
  };

  get #rests(): boolean {
    const { pauseState, running } = this.scheduler;
    const mayGoOn = pauseState === 'none' || (pauseState === 'new' && running.length > 0);
    return this.#step === null && this.#delivery.dueAt === null && !mayGoOn;
  }

  #fail(error: unknown): void {
    this.close();
    this.#options.listener.onFatal(error);
  }

  /** One event of the engine's history; false when the next one lies in the future or there is none. */
  #advance(): boolean {
    if (this.#step !== null) return this.#endStep(this.#step);
    if (this.#delivery.dueAt !== null) return this.#deliver(this.#delivery.dueAt);
    return this.#beginStep();
  }

  /** Ends the running step as early before its time as its tokens need to be made ready. */
  #endStep({ scheduled, endsAt }: RunningStep): boolean {
    if (this.#sleepsUntil(this.#delivery.beginAt(endsAt, scheduled.entries.length))) return false;
    this.#step = null;
    this.#time = endsAt;
    const sampled = this.scheduler.complete(scheduled);
    this.#cache?.store(scheduled);
    this.#delivery.prepare(sampled, endsAt);
    return !this.#closed;
  }

  #deliver(dueAt: number): boolean {
    if (this.#sleepsUntil(dueAt)) return false;
    const isOnTime = this.#delivery.release();
    if (this.#closed) return false;
    const { clock } = this.#options;
    if (!isOnTime) clock.wakeAt(clock.now(), this.#turn);
    return isOnTime;
  }

  /** Chooses the next step; when there is none, goes on to the time at which there may be one. */
  #beginStep(): boolean {
    this.#time = this.#cache?.beginOfStep(this.#time) ?? this.#time;
    // What arrives until then still belongs into the next step.
    if (this.#sleepsUntil(this.#time)) return false;
    for (const sequence of this.#arrivals.takeDue(this.#time)) this.scheduler.add(sequence);
    this.#cache?.failLostLoads(this.#time);
    for (const sequence of this.scheduler.needsLookup()) this.#cache?.lookUp(sequence);
    if (this.#patience.waits(this.#realWorkIsLate())) {
      this.#options.clock.cancelWake();
      return false;
    }
    this.#time += this.#cache?.spendLookups(this.scheduler.needsLookup()) ?? 0;
    const scheduled = this.scheduler.schedule(this.#time, this.#polledAt);
    if (scheduled === null) return this.#passTime();
    const { stepTime } = this.#options;
    const { sustainedPrefillSeconds } = this.#warmth;
    const seconds = stepTime.stepSeconds({ ...scheduled.shape, sustainedPrefillSeconds });
    if (scheduled.shape.prefills.length > 0) this.#warmth.warm(seconds);
    else this.#warmth.cool(seconds);
    this.#polledAt = this.#time + Math.min(seconds, stepTime.launchSeconds(scheduled.shape));
    const endsAt = this.#time + seconds;
    this.#step = { scheduled, endsAt };
    const preparesAt = this.#delivery.beginAt(endsAt, scheduled.entries.length);
    if (this.#arrivals.areRead) this.#options.clock.idleUntil(preparesAt);
    return true;
  }

  /** To the earliest arrival or end of a load. */
  #passTime(): boolean {
    const next = Math.min(this.#arrivals.nextAt, nextLoadEnd(this.scheduler.waiting, this.#time));
    if (next === Number.POSITIVE_INFINITY) {
      // A load that just began may have no end yet; its answer will turn the loop again.
      this.#options.clock.cancelWake();
      return false;
    }
    if (this.#sleepsUntil(next)) return false;
    this.#warmth.cool(next - this.#time);
    this.#time = next;
    return true;
  }

  /** True, and a wake-up asked for, while the time has not come. */
  #sleepsUntil(time: number): boolean {
    const { clock } = this.#options;
    if (clock.now() >= time) return false;
    clock.wakeAt(time, this.#turn);
    return true;
  }

  /** Nothing that is known to need a whole step stands before a new request, so its lookup may overlap its API time. */
  #couldBeNext(): boolean {
    const { maxNumBatchedTokens } = this.#options.limits;
    let ahead = 0;
    for (const { remote, totalTokens, computedTokens } of [...this.scheduler.waiting, ...this.#arrivals.queue]) {
      if (remote.kind === 'answered') ahead += totalTokens - remote.hitTokens;
      if (remote.kind === 'done') ahead += totalTokens - computedTokens;
    }
    return ahead < maxNumBatchedTokens;
  }

  #realWorkIsLate(): boolean {
    if (this.scheduler.waiting.some(({ remote }) => remote.kind === 'asked')) return true;
    // A load outlasts the step chosen as it began; only the next choice may need its end.
    return this.#cache?.hasUnansweredLoad(this.#time) || this.#arrivals.isAwaited(this.#time);
  }
}

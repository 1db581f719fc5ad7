import type { DecodeSlot, EngineStep, PrefillChunk } from '../contracts.js';
import { BlockPool } from './block-pool.js';
import type { FinishReason, Sequence } from './sequence.js';

export interface SchedulerLimits {
  readonly maxNumBatchedTokens: number;
  readonly maxNumSeqs: number;
  readonly maxModelLen: number;
  readonly blockTokens: number;
  readonly blockCount: number;
  readonly prefixCaching: boolean;
  /** No step runs while the cache tier loads; the step after it holds what was loaded. False if left out. */
  readonly loadsBlock?: boolean;
}

export interface ScheduledSequence {
  readonly sequence: Sequence;
  readonly newTokens: number;
}

export interface ScheduledStep {
  readonly entries: readonly ScheduledSequence[];
  /** What the step-time model needs to know. */
  readonly shape: EngineStep;
  readonly tokens: number;
}

/** Asks the cache tier to load [localTokens, hitTokens) of a sequence; its blocks are reserved already. */
export type StartLoad = (sequence: Sequence, hitTokens: number, localTokens: number) => void;

/** What a paused scheduler keeps back: new work, or also that of running sequences. */
export type PauseState = 'none' | 'new' | 'all';

/** Running totals of the scheduler, for /metrics. */
export interface SchedulerCounters {
  prefixQueries: number;
  prefixHits: number;
  externalQueries: number;
  externalHits: number;
  preemptions: number;
}

/**
 * Which sequences run in the next engine step, in the observable behaviour of vLLM V1's scheduler: running ones
 * first, then waiting ones first come first served, under one token budget a step (so long prompts are computed in
 * chunks beside others' decoding); when blocks run out the youngest running sequence is preempted and later recomputed.
 */
export class Scheduler {
  readonly counters: SchedulerCounters = {
    prefixQueries: 0,
    prefixHits: 0,
    externalQueries: 0,
    externalHits: 0,
    preemptions: 0,
  };
  readonly pool: BlockPool;
  readonly limits: SchedulerLimits;
  pauseState: PauseState = 'none';
  /** null without a cache tier. */
  readonly #startLoad: StartLoad | null;
  #waiting: Sequence[] = [];
  #running: Sequence[] = [];
  /** Loads that ended later are not known to have ended. */
  #seenUntil = 0;

  constructor(limits: SchedulerLimits, startLoad: StartLoad | null) {
    this.limits = limits;
    this.#startLoad = startLoad;
    this.pool = new BlockPool(limits.blockCount);
  }

  get running(): readonly Sequence[] {
    return this.#running;
  }

  get waiting(): readonly Sequence[] {
    return this.#waiting;
  }

  add(sequence: Sequence): void {
    this.#waiting.push(sequence);
  }

  /** Ends a sequence wherever it is and frees its blocks; harmless when it has ended. */
  finish(sequence: Sequence, reason: FinishReason): void {
    sequence.finished ??= reason;
    this.#waiting = this.#waiting.filter((other) => other !== sequence);
    this.#running = this.#running.filter((other) => other !== sequence);
    this.#release(sequence);
  }

  /**
   * Waiting sequences that could be admitted now but whose hits in the cache tier are not known, or were not waited
   * for. Ask for these, and spend the time, before `schedule`: it passes over them.
   */
  needsLookup(): readonly Sequence[] {
    if (this.#startLoad === null) return [];
    let budget = this.limits.maxNumBatchedTokens;
    for (const sequence of this.#running) budget -= Math.min(budget, sequence.totalTokens - sequence.computedTokens);
    let places = this.limits.maxNumSeqs - this.#running.length;
    const wanted: Sequence[] = [];
    for (const sequence of this.#waiting) {
      if (budget <= 0 || places <= 0) break;
      const { remote } = sequence;
      if (remote.kind === 'unasked' || (remote.kind === 'answered' && remote.unspentSeconds > 0)) wanted.push(sequence);
      if (sequence.remote.kind === 'asked' || sequence.remote.kind === 'loading') continue;
      const known = sequence.remote.kind === 'answered' ? sequence.remote.hitTokens : 0;
      if (known > 0) continue;
      budget -= Math.min(budget, sequence.totalTokens - this.#localHit(sequence).length * this.limits.blockTokens);
      places -= 1;
    }
    return wanted;
  }

  /**
   * Chooses the next step at simulated time `now`, or null when nothing can run.
   * @param polledAt when the engine last asked which loads have ended, while others ran; `now` if left out.
   */
  schedule(now: number, polledAt = now): ScheduledStep | null {
    this.#seenUntil = this.limits.loadsBlock === true || this.#running.length === 0 ? now : polledAt;
    if (this.pauseState === 'all' || this.#isHeldUp(now)) return null;
    const entries: ScheduledSequence[] = [];
    let budget = this.limits.maxNumBatchedTokens;
    const preemptionsBefore = this.counters.preemptions;
    for (let index = 0; index < this.#running.length && budget > 0; index += 1) {
      const sequence = this.#running[index];
      if (sequence === undefined) break;
      const newTokens = Math.min(sequence.totalTokens - sequence.computedTokens, budget);
      if (newTokens <= 0) continue;
      if (!this.#makeRoom(sequence, newTokens, now)) break;
      budget -= newTokens;
      entries.push({ sequence, newTokens });
    }
    if (this.counters.preemptions === preemptionsBefore && this.pauseState === 'none') {
      do budget -= this.#admit(now, budget, entries);
      while (entries.length === 0 && this.#running.length === 0 && this.#takeFromWaiting(now, this.#waiting.slice(1)));
    }
    // Loads that have just begun come before the step; what was admitted beside them is chosen again after it.
    if (entries.length === 0 || this.#isHeldUp(now)) return null;
    const shape = shapeOf(entries);
    for (const { sequence, newTokens } of entries) sequence.computedTokens += newTokens;
    return { entries, shape, tokens: this.limits.maxNumBatchedTokens - budget };
  }

  #isHeldUp(now: number): boolean {
    if (this.limits.loadsBlock !== true) return false;
    return this.#waiting.some(
      ({ remote }) => remote.kind === 'loading' && (remote.dueAt === null || remote.dueAt > now),
    );
  }

  /** Sequences of a finished step that got a token; those that ended with it have given their blocks back. */
  complete(step: ScheduledStep): readonly Sequence[] {
    const sampled: Sequence[] = [];
    for (const { sequence } of step.entries) {
      if (sequence.finished !== null || sequence.computedTokens < sequence.totalTokens) continue;
      sequence.sample(this.limits.maxModelLen);
      sampled.push(sequence);
      if (sequence.finished !== null) this.finish(sequence, sequence.finished);
    }
    return sampled;
  }

  /** Tokens at the start of a sequence that the GPU's prefix cache holds. */
  localTokens(sequence: Sequence): number {
    return this.#localHit(sequence).length * this.limits.blockTokens;
  }

  resetPrefixCache(): boolean {
    return this.pool.resetPrefixCache();
  }

  /** Takes the blocks of all running sequences, which are computed anew when they go on. */
  preemptAll(): void {
    for (let victim = this.#running.at(-1); victim !== undefined; victim = this.#running.at(-1)) this.#preempt(victim);
  }

  #preempt(victim: Sequence): void {
    this.#running.splice(this.#running.indexOf(victim), 1);
    this.#release(victim);
    victim.preemptions += 1;
    this.counters.preemptions += 1;
    this.#waiting.unshift(victim);
  }

  /** Moves waiting sequences into the step; returns the tokens used. */
  #admit(now: number, available: number, entries: ScheduledSequence[]): number {
    let budget = available;
    const deferred: Sequence[] = [];
    let next = 0;
    while (next < this.#waiting.length && budget > 0 && this.#running.length < this.limits.maxNumSeqs) {
      const sequence = this.#waiting[next];
      if (sequence === undefined) break;
      const outcome = this.#admitOne(sequence, now, budget);
      if (outcome === 'no-room') break;
      next += 1;
      if (outcome === 'deferred') {
        deferred.push(sequence);
        continue;
      }
      this.#running.push(sequence);
      entries.push({ sequence, newTokens: outcome });
      budget -= outcome;
    }
    this.#waiting = [...deferred, ...this.#waiting.slice(next)];
    return available - budget;
  }

  /**
   * Loaded sequences hold blocks while they wait, and may so keep everybody from going on. Takes the blocks of the
   * youngest of these; false when none holds any.
   */
  #takeFromWaiting(now: number, waiting: readonly Sequence[]): boolean {
    const youngest = waiting.findLast(
      ({ blocks, remote }) =>
        blocks.length > 0 && (remote.kind !== 'loading' || (remote.dueAt !== null && remote.dueAt <= now)),
    );
    if (youngest === undefined) return false;
    this.#release(youngest);
    return true;
  }

  /** Tokens to compute in this step, or why it stays in the queue. */
  #admitOne(sequence: Sequence, now: number, budget: number): number | 'deferred' | 'no-room' {
    const { remote } = sequence;
    if (this.#startLoad !== null && (remote.kind === 'unasked' || remote.kind === 'asked')) return 'deferred';
    if (remote.kind === 'answered' && remote.unspentSeconds > 0) return 'deferred';
    if (remote.kind === 'loading') {
      if (remote.dueAt === null || remote.dueAt > this.#seenUntil) return 'deferred';
      this.#endLoad(sequence, remote.hitTokens, remote.loadedTokens);
    } else if (sequence.blocks.length === 0) {
      const local = this.#localHit(sequence);
      const localTokens = local.length * this.limits.blockTokens;
      const hitTokens = remote.kind === 'answered' ? Math.min(remote.hitTokens, sequence.totalTokens - 1) : 0;
      if (this.#startLoad !== null && hitTokens > localTokens) {
        if (!this.#reserve(sequence, hitTokens, local)) return 'no-room';
        this.#count(sequence, localTokens, hitTokens - localTokens);
        sequence.computedTokens = localTokens;
        sequence.remote = {
          kind: 'loading',
          dueAt: null,
          hitTokens,
          loadedTokens: localTokens,
        };
        this.#startLoad(sequence, hitTokens, localTokens);
        return 'deferred';
      }
      const newTokens = Math.min(sequence.totalTokens - localTokens, budget);
      if (!this.#reserve(sequence, localTokens + newTokens, local)) return 'no-room';
      this.#count(sequence, localTokens, 0);
      sequence.computedTokens = localTokens;
      sequence.remote = { kind: 'done' };
    }
    const newTokens = Math.min(sequence.totalTokens - sequence.computedTokens, budget);
    if (!this.#reserve(sequence, sequence.computedTokens + newTokens, [])) return 'no-room';
    this.#register(sequence, sequence.computedTokens + newTokens);
    if (Number.isNaN(sequence.times.scheduled)) sequence.times.scheduled = now;
    return newTokens;
  }

  /** What did not arrive is recomputed (kv_load_failure_policy "recompute"). */
  #endLoad(sequence: Sequence, hitTokens: number, loadedTokens: number): void {
    sequence.remote = { kind: 'done' };
    if (sequence.preemptions === 0) sequence.externalHitTokens -= Math.max(0, hitTokens - loadedTokens);
    sequence.computedTokens = loadedTokens;
    this.#register(sequence, loadedTokens);
  }

  /** Cached blocks at the start of the sequence; at least one token is always left to compute. */
  #localHit(sequence: Sequence): number[] {
    const blocks: number[] = [];
    if (!this.limits.prefixCaching || sequence.options.readsCaches === false) return blocks;
    const keys = sequence.blockKeys();
    const longest = Math.floor((sequence.totalTokens - 1) / this.limits.blockTokens);
    for (let index = 0; index < longest; index += 1) {
      const block = this.pool.find(keys[index] ?? 0);
      if (block === undefined) break;
      blocks.push(block);
    }
    return blocks;
  }

  #count(sequence: Sequence, localTokens: number, externalTokens: number): void {
    if (sequence.counted) return;
    sequence.counted = true;
    sequence.localHitTokens = localTokens;
    sequence.externalHitTokens = externalTokens;
    this.counters.prefixQueries += sequence.totalTokens;
    this.counters.prefixHits += localTokens;
    if (this.#startLoad === null) return;
    this.counters.externalQueries += sequence.totalTokens - localTokens;
    this.counters.externalHits += externalTokens;
  }

  /** Blocks for `tokens` tokens in all, the first of them shared; false (and nothing changed) when there are too few. */
  #reserve(sequence: Sequence, tokens: number, shared: readonly number[]): boolean {
    const wanted = Math.ceil(tokens / this.limits.blockTokens) - sequence.blocks.length - shared.length;
    const revived = shared.filter((block) => this.pool.references(block) === 0).length;
    if (Math.max(wanted, 0) + revived > this.pool.freeBlocks) return false;
    this.pool.share(shared);
    sequence.blocks.push(...shared);
    sequence.registeredBlocks += shared.length;
    if (wanted > 0) sequence.blocks.push(...this.pool.take(wanted));
    return true;
  }

  /** Like #reserve, preempting the youngest until it fits; false when the sequence itself had to go. */
  #makeRoom(sequence: Sequence, newTokens: number, now: number): boolean {
    while (!this.#reserve(sequence, sequence.computedTokens + newTokens, [])) {
      const isLast = this.#running[this.#running.length - 1] === sequence;
      if (isLast && this.#takeFromWaiting(now, this.#waiting)) continue;
      const victim = this.#running.at(-1);
      if (victim === undefined) return false;
      this.#preempt(victim);
      if (victim === sequence) return false;
    }
    this.#register(sequence, sequence.computedTokens + newTokens);
    return true;
  }

  /** Makes the blocks that are full with `tokens` tokens findable. */
  #register(sequence: Sequence, tokens: number): void {
    if (!this.limits.prefixCaching) return;
    const full = Math.floor(Math.min(tokens, sequence.totalTokens) / this.limits.blockTokens);
    if (sequence.registeredBlocks >= full) return;
    const keys = sequence.blockKeys();
    for (; sequence.registeredBlocks < full; sequence.registeredBlocks += 1) {
      const block = sequence.blocks[sequence.registeredBlocks];
      const key = keys[sequence.registeredBlocks];
      if (block !== undefined && key !== undefined) this.pool.register(block, key);
    }
  }

  #release(sequence: Sequence): void {
    this.pool.release(sequence.blocks);
    sequence.blocks = [];
    sequence.registeredBlocks = 0;
    sequence.computedTokens = 0;
    sequence.remote = { kind: 'unasked' };
  }
}

function shapeOf(entries: readonly ScheduledSequence[]): EngineStep {
  const prefills: PrefillChunk[] = [];
  const decodes: DecodeSlot[] = [];
  for (const { sequence, newTokens } of entries) {
    const contextTokens = sequence.computedTokens;
    const decoding = newTokens === 1 && sequence.outputIds.length > 0 && contextTokens + 1 === sequence.totalTokens;
    if (decoding) decodes.push({ contextTokens: contextTokens + 1 });
    else prefills.push(chunkOf(sequence, newTokens, contextTokens));
  }
  return { prefills, decodes };
}

function chunkOf({ variety }: Sequence, newTokens: number, contextTokens: number): PrefillChunk {
  return variety < 1 ? { newTokens, contextTokens, variety } : { newTokens, contextTokens };
}

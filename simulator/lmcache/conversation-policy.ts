import type { SimulatedClock } from '../contracts.js';
import type { EvictionPolicy } from './eviction-policy.js';

/** Assumed seconds between two turns until some were seen. */
const FIRST_GAP_SECONDS = 60;
/** Weight of the newest gap in a running mean. */
const GAP_WEIGHT = 0.3;
/** A conversation of one turn is expected to be over this many times sooner than one that has gone on before. */
const SINGLE_TURN_PENALTY = 2;

/** A stretch of chunks that always came together: a conversation's own turns, or a beginning that several share. */
interface Stretch {
  readonly keys: string[];
  parent: Stretch | null;
  children: number;
  turns: number;
  lastUsed: number;
  /** Mean seconds between its turns; NaN until it had two. */
  gap: number;
}

/**
 * Evicts whole conversations, the most overdue one first: idle for longest in units of the time that usually passes
 * between its turns (all conversations' mean for one that had a single turn, and twice as overdue for it). Within a
 * conversation the end goes first, and a beginning that others continue stays as long as any of them.
 * It stands for `LMCACHE_EXTRA_CONFIG={"use_conversation_eviction": true}`.
 */
export class ConversationPolicy implements EvictionPolicy {
  readonly #clock: SimulatedClock;
  readonly #stretchOf = new Map<string, Stretch>();
  #meanGap = FIRST_GAP_SECONDS;
  /** Keys in the order they would go, until something is used again. */
  #queue: string[] = [];

  constructor(clock: SimulatedClock) {
    this.#clock = clock;
  }

  used(keys: readonly string[]): void {
    const now = this.#clock.now();
    this.#queue = [];
    const known = keys.findIndex((key) => !this.#stretchOf.has(key));
    const deepest = keys[(known < 0 ? keys.length : known) - 1];
    const last = deepest === undefined ? undefined : this.#stretchOf.get(deepest);
    // A prompt that leaves a conversation in its middle is not a turn of it.
    if (last === undefined || last.keys.at(-1) !== deepest) return;
    const sinceLast = now - last.lastUsed;
    for (let stretch: Stretch | null = last; stretch !== null; stretch = stretch.parent) stretch.lastUsed = now;
    last.turns += 1;
    last.gap = Number.isNaN(last.gap) ? sinceLast : mix(last.gap, sinceLast);
    this.#meanGap = mix(this.#meanGap, sinceLast);
  }

  added(key: string, previous: string | null): void {
    const lastUsed = this.#clock.now();
    const before = previous === null ? undefined : this.#stretchOf.get(previous);
    if (before !== undefined && before.children === 0 && before.keys.at(-1) === previous) {
      before.keys.push(key);
      before.lastUsed = lastUsed;
      this.#stretchOf.set(key, before);
      return;
    }
    const parent = before === undefined || previous === null ? null : this.#split(before, previous);
    if (parent !== null) {
      parent.children += 1;
      parent.lastUsed = lastUsed;
    }
    this.#stretchOf.set(key, { keys: [key], parent, children: 0, turns: 1, lastUsed, gap: Number.NaN });
  }

  touched(): void {}

  removed(key: string): void {
    const stretch = this.#stretchOf.get(key);
    if (stretch === undefined) return;
    this.#stretchOf.delete(key);
    const index = stretch.keys.lastIndexOf(key);
    if (index >= 0) stretch.keys.splice(index, 1);
    if (stretch.keys.length === 0 && stretch.parent !== null) stretch.parent.children -= 1;
  }

  victims(count: number): readonly string[] {
    this.#queue = this.#queue.filter((key) => this.#stretchOf.has(key));
    if (this.#queue.length < count) this.#queue = this.#ordered();
    return this.#queue.slice(0, count);
  }

  /** Cuts a stretch behind a key, so that others can go on from there; returns the first part. */
  #split(stretch: Stretch, key: string): Stretch {
    const at = stretch.keys.indexOf(key) + 1;
    if (at === stretch.keys.length) return stretch;
    const head: Stretch = { ...stretch, keys: stretch.keys.splice(0, at), children: 1 };
    stretch.parent = head;
    for (const own of head.keys) this.#stretchOf.set(own, head);
    return head;
  }

  #ordered(): string[] {
    const now = this.#clock.now();
    const waiting = new Map<Stretch, number>();
    for (const stretch of this.#stretchOf.values()) waiting.set(stretch, stretch.children);
    const order: string[] = [];
    let round = [...waiting.keys()].filter((stretch) => stretch.children === 0);
    while (round.length > 0) {
      round.sort((left, right) => this.#overdue(right, now) - this.#overdue(left, now));
      const next: Stretch[] = [];
      for (const { keys, parent } of round) {
        order.push(...keys.toReversed());
        if (parent === null) continue;
        const left = (waiting.get(parent) ?? 0) - 1;
        waiting.set(parent, left);
        if (left === 0) next.push(parent);
      }
      round = next;
    }
    return order;
  }

  #overdue(stretch: Stretch, now: number): number {
    const idle = now - stretch.lastUsed;
    return stretch.turns > 1 && !Number.isNaN(stretch.gap)
      ? idle / stretch.gap
      : (SINGLE_TURN_PENALTY * idle) / this.#meanGap;
  }
}

function mix(mean: number, newest: number): number {
  return mean + GAP_WEIGHT * (newest - mean);
}

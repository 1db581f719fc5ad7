import type { SimulatedClock } from '../contracts.js';
import { ConversationPolicy } from './conversation-policy.js';
import { type ConversationAwareOptions, defaultConversationAware } from './conversation-worth.js';

export const EVICTION_POLICIES = ['LRU', 'ARC', 'IsolatedLRU', 'noop'] as const;
/** `conversation` is an engine's own tier's only, by LMCACHE_EXTRA_CONFIG. */
export type EvictionPolicyName = (typeof EVICTION_POLICIES)[number] | 'conversation';

/** Decides which chunks leave L1; it knows keys only. */
export interface EvictionPolicy {
  added(key: string): void;
  /** A prompt was looked up: its keys in order, those not held included. */
  used?(keys: readonly string[]): void;
  /** What is added next belongs to this prompt. */
  filling?(keys: readonly string[]): void;
  /** Read or written again. */
  touched(key: string): void;
  removed(key: string): void;
  /** Up to `count` keys to evict, the first to go first; they stay tracked until `removed`. None: what comes is not kept. */
  victims(count: number): readonly string[];
}

/** IsolatedLRU separates tenants by cache salt; with the simulator's single salt it is LRU. */
export function createEvictionPolicy(
  name: EvictionPolicyName,
  clock: SimulatedClock,
  conversationAware: ConversationAwareOptions = defaultConversationAware,
): EvictionPolicy {
  switch (name) {
    case 'conversation':
      return new ConversationPolicy(clock, conversationAware);
    case 'LRU':
    case 'IsolatedLRU':
      return new LruPolicy();
    case 'ARC':
      return new ArcPolicy();
    case 'noop':
      return { added: () => {}, touched: () => {}, removed: () => {}, victims: () => [] };
  }
}

class LruPolicy implements EvictionPolicy {
  /** Insertion order is age. */
  readonly #keys = new Set<string>();

  added(key: string): void {
    this.#keys.add(key);
  }

  touched(key: string): void {
    if (this.#keys.delete(key)) this.#keys.add(key);
  }

  removed(key: string): void {
    this.#keys.delete(key);
  }

  victims(count: number): readonly string[] {
    return oldest(this.#keys, count);
  }
}

/**
 * Adaptive replacement (Megiddo and Modha, FAST 2003): keys seen once and keys seen again are aged apart, and
 * the ghosts of evicted keys shift the target size of the first list.
 */
class ArcPolicy implements EvictionPolicy {
  readonly #once = new Set<string>();
  readonly #again = new Set<string>();
  readonly #ghostsOfOnce = new Set<string>();
  readonly #ghostsOfAgain = new Set<string>();
  #targetOfOnce = 0;

  added(key: string): void {
    const size = this.#once.size + this.#again.size;
    if (this.#ghostsOfOnce.delete(key)) {
      const step = Math.max(1, this.#ghostsOfAgain.size / (this.#ghostsOfOnce.size + 1));
      this.#targetOfOnce = Math.min(size + 1, this.#targetOfOnce + step);
      this.#again.add(key);
    } else if (this.#ghostsOfAgain.delete(key)) {
      const step = Math.max(1, this.#ghostsOfOnce.size / (this.#ghostsOfAgain.size + 1));
      this.#targetOfOnce = Math.max(0, this.#targetOfOnce - step);
      this.#again.add(key);
    } else {
      this.#once.add(key);
    }
  }

  touched(key: string): void {
    if (this.#once.delete(key) || this.#again.delete(key)) this.#again.add(key);
  }

  removed(key: string): void {
    const size = this.#once.size + this.#again.size;
    if (this.#once.delete(key)) remember(this.#ghostsOfOnce, key, size);
    else if (this.#again.delete(key)) remember(this.#ghostsOfAgain, key, size);
  }

  victims(count: number): readonly string[] {
    const fromOnce = Math.min(count, Math.max(0, this.#once.size - Math.floor(this.#targetOfOnce)));
    const chosen = [...oldest(this.#once, fromOnce), ...oldest(this.#again, count - fromOnce)];
    if (chosen.length >= count) return chosen;
    return [...chosen, ...oldest(this.#once, count).slice(fromOnce, fromOnce + count - chosen.length)];
  }
}

function remember(ghosts: Set<string>, key: string, limit: number): void {
  ghosts.add(key);
  for (const eldest of ghosts) {
    if (ghosts.size <= limit) break;
    ghosts.delete(eldest);
  }
}

function oldest(keys: ReadonlySet<string>, count: number): string[] {
  const chosen: string[] = [];
  for (const key of keys) {
    if (chosen.length >= count) break;
    chosen.push(key);
  }
  return chosen;
}

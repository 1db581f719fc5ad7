import type { TierMetrics } from './tier-metrics.js';

/** An evicted chunk that comes back later than this counts as new (LMCache's max_evict_reuse_wait), simulated seconds. */
const LONGEST_WAIT_FOR_REUSE = 300;

/** Writes the ages of a sample of L1's chunks into histograms. */
export class ChunkAges {
  readonly #metrics: TierMetrics;
  readonly #sampleRate: number;
  /** When sampled chunks were evicted, the eldest first. */
  readonly #evictedAt = new Map<string, number>();

  /** @param sampleRate part of the chunks, from 0 to 1. */
  constructor(metrics: TierMetrics, sampleRate: number) {
    this.#metrics = metrics;
    this.#sampleRate = sampleRate;
  }

  written(key: string, now: number): void {
    const evictedAt = this.#evictedAt.get(key);
    if (evictedAt === undefined) return;
    this.#evictedAt.delete(key);
    if (now - evictedAt > LONGEST_WAIT_FOR_REUSE) return;
    this.#metrics.observe('l1_chunk_evict_reuse_gap_seconds', now - evictedAt);
  }

  /** Read or written again `seconds` after the last time, with so many uses of chunks between. */
  touched(key: string, seconds: number, uses: number): void {
    if (!this.#isSampled(key)) return;
    this.#metrics.observe('l1_chunk_reuse_gap_seconds', seconds);
    this.#metrics.observe('real_reuse_gap_seconds', seconds, { cache_salt: '' });
    this.#metrics.observe('real_reuse_gap_objects', uses, { cache_salt: '' });
  }

  evicted(key: string, chunk: { readonly writtenAt: number; readonly touchedAt: number }, now: number): void {
    if (!this.#isSampled(key)) return;
    this.#metrics.observe('l1_chunk_lifetime_seconds', now - chunk.writtenAt);
    this.#metrics.observe('l1_chunk_idle_before_evict_seconds', now - chunk.touchedAt);
    for (const [eldest, at] of this.#evictedAt) {
      if (now - at <= LONGEST_WAIT_FOR_REUSE) break;
      this.#evictedAt.delete(eldest);
    }
    this.#evictedAt.set(key, now);
  }

  /** The same chunks always: the name's own bits decide. */
  #isSampled(key: string): boolean {
    return Number.parseInt(key.slice(-6), 16) < this.#sampleRate * 0x1000000;
  }
}

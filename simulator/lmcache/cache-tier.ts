import type { SimulatedClock } from '../contracts.js';
import { ChunkAges } from './chunk-ages.js';
import type { ConversationAwareOptions } from './conversation-worth.js';
import { createEvictionPolicy, type EvictionPolicy, type EvictionPolicyName } from './eviction-policy.js';
import type { L2Adapter } from './l2-adapter.js';
import type { TierMetrics } from './tier-metrics.js';

export interface CacheTierOptions {
  readonly clock: SimulatedClock;
  readonly metrics: TierMetrics;
  readonly chunkTokens: number;
  readonly l1Bytes: number;
  /** The part of `l1Bytes` that is allocated so far; all if left out. */
  readonly l1AllocatedBytes?: () => number;
  readonly evictionPolicy: EvictionPolicyName;
  /** Of the policy `conversation`; its own values if left out. */
  readonly conversationAware?: ConversationAwareOptions;
  /** Eviction starts when L1 is this full (1: when the next chunk would not fit), and frees this part of what it holds. */
  readonly watermark: number;
  readonly evictionRatio: number;
  /** skip_l1: a chunk leaves L1 once L2 has it. */
  readonly storePolicy: 'default' | 'skip_l1';
  /** retain: a chunk fetched from L2 stays in L1 after it was read. */
  readonly prefetchPolicy: 'default' | 'retain';
  readonly l2: readonly L2Adapter[];
  readonly prefetchMaxInFlight: number;
  /** Of a prompt used as a whole, the end is evicted before the beginning. */
  readonly tailFirst?: boolean;
  /** Part of chunks whose ages go into histograms, from 0 to 1. */
  readonly sampleRate: number;
}

/** One engine's chunks: names of a prompt's full chunks in order, each `chunkBytes` of KV. */
export interface ChunkRun {
  readonly model: string;
  readonly hashes: readonly string[];
  readonly chunkBytes: number;
}

interface L1Chunk {
  readonly bytes: number;
  readonly writtenAt: number;
  touchedAt: number;
  /** How many uses of chunks there had been at its last one. */
  touchNumber: number;
  /** A prefetch from L2 is complete at this time. */
  readyAt: number;
  /** Fetched for one read. */
  readonly temporary: boolean;
}

/** What L2 has accepted but not finished: settled lazily, so that an idle server holds no timers. */
interface PendingL2Store {
  readonly adapter: L2Adapter;
  readonly keys: readonly string[];
  readonly bytes: number;
  readonly startedAt: number;
  readonly doneAt: number;
}

/**
 * The cache's bookkeeping: which chunks are in L1 and L2 and when transfers between them end. It holds names
 * and sizes, never KV bytes. Every method first settles what simulated time has finished since the last call.
 */
export class CacheTier {
  readonly options: CacheTierOptions;
  /** SIM_FAULT=no-cache: nothing is stored, nothing hits. */
  disabled = false;
  readonly #l1 = new Map<string, L1Chunk>();
  readonly #ages: ChunkAges;
  #policy: EvictionPolicy;
  #l1UsedBytes = 0;
  #touches = 0;
  #pendingStores: PendingL2Store[] = [];
  /** Ends of the prefetches that still run. */
  #prefetchEnds: number[] = [];

  constructor(options: CacheTierOptions) {
    this.options = options;
    this.#ages = new ChunkAges(options.metrics, options.sampleRate);
    this.#policy = newPolicy(options);
  }

  get l1UsedBytes(): number {
    this.#settle();
    return this.#l1UsedBytes;
  }

  get l1ChunkCount(): number {
    return this.#l1.size;
  }

  get pendingL2Stores(): number {
    this.#settle();
    return this.#pendingStores.length;
  }

  storesUnderWay(adapter: L2Adapter): number {
    this.#settle();
    return this.#pendingStores.filter((store) => store.adapter === adapter).length;
  }

  get activePrefetches(): number {
    this.#settle();
    return this.#prefetchEnds.length;
  }

  /** Chunks at the start of the run that L1 or L2 hold. */
  lookup(run: ChunkRun): number {
    this.#settle();
    const { metrics, chunkTokens, l2 } = this.options;
    const labels = { model_name: run.model, cache_salt: '' };
    metrics.count('lookup_requested_tokens', run.hashes.length * chunkTokens, labels);
    if (this.disabled) return 0;
    const keys = keysOf(run);
    const inL1 = prefixLength(keys, (key) => this.#l1.has(key));
    const hits = prefixLength(keys, (key) => this.#l1.has(key) || this.#adapterWith(key) !== undefined);
    if (l2.length > 0 && inL1 < keys.length) {
      metrics.count('l2_prefetch_lookup_requests', 1);
      metrics.count('l2_prefetch_lookup_objects_chunks', keys.length - inL1);
    }
    if (hits > 0) {
      metrics.count('lookup_hit_tokens', hits * chunkTokens, labels);
      if (inL1 > 0) metrics.count('lookup_hit_l1_tokens', inL1 * chunkTokens, labels);
      if (hits > inL1) {
        metrics.count('lookup_hit_l2_tokens', (hits - inL1) * chunkTokens, labels);
        metrics.count('lookup_hit_l2_keys', hits - inL1, labels);
      }
      metrics.count('l1_read_chunks', hits);
      if (hits > inL1) metrics.count('l2_prefetch_hit_chunks', hits - inL1);
      this.#touchAll(keys.slice(0, hits));
    }
    this.#policy.used?.(keys);
    return hits;
  }

  /**
   * Makes chunks [fromChunk, toChunk) ready for copying into the GPU, from L2 if need be.
   * @returns how many of them are there, counted from `fromChunk`, and the simulated seconds until L2 has delivered.
   */
  load(run: ChunkRun, fromChunk: number, toChunk: number): { readonly chunks: number; readonly l2Seconds: number } {
    this.#settle();
    if (this.disabled) return { chunks: 0, l2Seconds: 0 };
    const now = this.options.clock.now();
    const prompt = keysOf(run);
    this.#policy.filling?.(prompt);
    const keys = prompt.slice(fromChunk, toChunk);
    this.#prefetch(keys, run.chunkBytes, this.options.prefetchPolicy === 'default');
    const chunks = prefixLength(keys, (key) => this.#l1.has(key));
    let readyAt = now;
    for (const key of keys.slice(0, chunks)) {
      const chunk = this.#l1.get(key);
      if (chunk === undefined) continue;
      readyAt = Math.max(readyAt, chunk.readyAt);
      if (chunk.temporary) this.#remove(key);
      else this.#touch(key);
    }
    return { chunks, l2Seconds: readyAt - now };
  }

  /** Writes the chunks from `fromChunk` on that are not held yet; returns how many were written. */
  store(run: ChunkRun, fromChunk: number): number {
    this.#settle();
    if (this.disabled) return 0;
    const now = this.options.clock.now();
    const written: string[] = [];
    const keys = keysOf(run);
    this.#policy.filling?.(keys);
    for (const [index, key] of keys.entries()) {
      if (index < fromChunk) continue;
      if (this.#l1.has(key)) {
        this.#touch(key);
        continue;
      }
      if (this.options.l2.some((adapter) => adapter.stored.has(key))) continue;
      if (!this.#makeRoom(run.chunkBytes)) break;
      const chunk = { bytes: run.chunkBytes, writtenAt: now, touchedAt: now, readyAt: now, temporary: false };
      this.#add(key, chunk);
      written.push(key);
    }
    if (this.options.tailFirst) this.#touchAll(keys);
    if (written.length > 0) {
      this.options.metrics.count('l1_write_chunks', written.length);
      this.#storeToL2(written, run.chunkBytes);
    }
    return written.length;
  }

  /** Fetches from L2 what L1 lacks of a prompt, to stay there; how many chunks both have, and when they are in L1. */
  warm(run: ChunkRun): { readonly chunks: number; readonly readyAt: number } {
    this.#settle();
    const now = this.options.clock.now();
    if (this.disabled) return { chunks: 0, readyAt: now };
    const keys = keysOf(run);
    this.#prefetch(keys, run.chunkBytes, false);
    const held = keys.slice(
      0,
      prefixLength(keys, (key) => this.#l1.has(key)),
    );
    return { chunks: held.length, readyAt: Math.max(now, ...held.map((key) => this.#l1.get(key)?.readyAt ?? now)) };
  }

  /** Names and bytes of the chunks that an adapter has stored. */
  storedIn(adapter: L2Adapter): readonly (readonly [key: string, bytes: number])[] {
    this.#settle();
    return [...adapter.stored];
  }

  /** How many of them there were. */
  removeFromL1(keys: readonly string[]): number {
    this.#settle();
    const held = keys.filter((key) => this.#l1.has(key));
    for (const key of held) this.#remove(key);
    return held.length;
  }

  removeFromL2(adapter: L2Adapter, keys: readonly string[]): void {
    this.#settle();
    for (const key of keys) {
      adapter.usedBytes -= adapter.stored.get(key) ?? 0;
      adapter.stored.delete(key);
    }
  }

  /** Empties L1; what L2 holds stays. */
  clear(): void {
    this.#settle();
    this.#l1.clear();
    this.#l1UsedBytes = 0;
    this.#policy = newPolicy(this.options);
  }

  #storeToL2(keys: readonly string[], chunkBytes: number): void {
    const { clock, metrics, l2 } = this.options;
    const now = clock.now();
    for (const adapter of l2) {
      const missing = keys.filter((key) => !adapter.stored.has(key));
      if (adapter.evicts) makeRoomIn(adapter, missing.length * chunkBytes);
      const room = Math.floor((adapter.capacityBytes - adapter.usedBytes) / chunkBytes);
      const accepted = missing.slice(0, Math.max(0, room));
      if (accepted.length === 0) continue;
      const bytes = accepted.length * chunkBytes;
      adapter.usedBytes += bytes;
      metrics.count('l2_store_submitted_requests', 1);
      metrics.count('l2_store_submitted_objects_chunks', accepted.length);
      metrics.count('l1_read_chunks', accepted.length);
      const doneAt = now + bytes / adapter.writeBytesPerSecond;
      this.#pendingStores.push({ adapter, keys: accepted, bytes: chunkBytes, startedAt: now, doneAt });
    }
  }

  #adapterWith(key: string): L2Adapter | undefined {
    return this.options.l2.find((adapter) => adapter.stored.has(key));
  }

  /** Starts fetching the keys that L1 lacks, one request for each adapter. */
  #prefetch(keys: readonly string[], chunkBytes: number, temporary: boolean): void {
    for (const adapter of this.options.l2) {
      const missing = keys.filter((key) => !this.#l1.has(key) && this.#adapterWith(key) === adapter);
      if (missing.length > 0) this.#fetch(adapter, missing, chunkBytes, temporary);
    }
  }

  #fetch(adapter: L2Adapter, keys: readonly string[], chunkBytes: number, temporary: boolean): void {
    const { clock, metrics, prefetchMaxInFlight } = this.options;
    const now = clock.now();
    const latestFirst = this.#prefetchEnds.toSorted((left, right) => right - left);
    const queued = latestFirst[prefetchMaxInFlight - 1] ?? now;
    const startAt = adapter.queues ? Math.max(queued, adapter.freeAt) : queued;
    const doneAt = startAt + adapter.requestSeconds + (keys.length * chunkBytes) / adapter.bytesPerSecond;
    adapter.freeAt = doneAt;
    let fetched = 0;
    for (const key of keys) {
      if (!this.#makeRoom(chunkBytes)) break;
      const chunk = { bytes: chunkBytes, writtenAt: now, touchedAt: now, readyAt: doneAt, temporary };
      this.#add(key, chunk);
      refresh(adapter, key);
      fetched += 1;
    }
    if (fetched === 0) return;
    this.#prefetchEnds.push(doneAt);
    const l2Name = { l2_name: adapter.name };
    metrics.count('l2_prefetch_load_submitted_requests', 1);
    metrics.count('l2_prefetch_load_submitted_objects_chunks', fetched);
    metrics.count('l2_load_completed_requests', 1, l2Name);
    metrics.count('l2_prefetch_load_completed_chunks', fetched);
    metrics.count('l1_write_chunks', fetched);
    metrics.observe('l2_load_throughput_GB_per_second', (fetched * chunkBytes) / (doneAt - now) / 1e9, l2Name);
  }

  #settle(): void {
    const { clock, metrics, storePolicy } = this.options;
    const now = clock.now();
    if (this.#prefetchEnds.length > 0) this.#prefetchEnds = this.#prefetchEnds.filter((end) => end > now);
    if (this.#pendingStores.length === 0) return;
    const done = this.#pendingStores.filter((store) => store.doneAt <= now);
    if (done.length === 0) return;
    this.#pendingStores = this.#pendingStores.filter((store) => store.doneAt > now);
    for (const { adapter, keys, bytes, startedAt, doneAt } of done) {
      for (const key of keys) adapter.stored.set(key, bytes);
      const l2Name = { l2_name: adapter.name };
      metrics.count('l2_store_completed_requests', 1, l2Name);
      metrics.count('l2_store_completed_objects_chunks', keys.length);
      const rate = (keys.length * bytes) / (doneAt - startedAt) / 1e9;
      metrics.observe('l2_store_throughput_GB_per_second', rate, l2Name);
      if (storePolicy === 'skip_l1') for (const key of keys) this.#remove(key);
    }
  }

  #makeRoom(bytes: number): boolean {
    const { l1Bytes, l1AllocatedBytes, watermark, evictionRatio, metrics } = this.options;
    const evictsAtCapacity = watermark >= 1;
    const isFull = evictsAtCapacity ? this.#l1UsedBytes + bytes > l1Bytes : this.#l1UsedBytes >= watermark * l1Bytes;
    if (isFull) {
      const victims = this.#policy.victims(Math.max(1, Math.floor(this.#l1.size * evictionRatio)));
      metrics.count('l1_eviction_loop_triggered', 1);
      for (const key of victims) this.#remove(key);
    }
    return this.#l1UsedBytes + bytes <= (l1AllocatedBytes?.() ?? l1Bytes);
  }

  #add(key: string, chunk: Omit<L1Chunk, 'touchNumber'>): void {
    this.#l1.set(key, { ...chunk, touchNumber: this.#touches });
    this.#l1UsedBytes += chunk.bytes;
    this.#ages.written(key, chunk.writtenAt);
    this.#policy.added(key);
  }

  /** In the order of the prompt, or against it, so that the end of a prompt is older than its beginning. */
  #touchAll(keys: readonly string[]): void {
    for (const key of this.options.tailFirst ? keys.toReversed() : keys) this.#touch(key);
  }

  #touch(key: string): void {
    const chunk = this.#l1.get(key);
    if (chunk === undefined) return;
    const now = this.options.clock.now();
    this.#touches += 1;
    this.#ages.touched(key, now - chunk.touchedAt, this.#touches - chunk.touchNumber);
    chunk.touchNumber = this.#touches;
    chunk.touchedAt = now;
    this.#policy.touched(key);
  }

  #remove(key: string): void {
    const chunk = this.#l1.get(key);
    if (chunk === undefined) return;
    const now = this.options.clock.now();
    this.#l1.delete(key);
    this.#l1UsedBytes -= chunk.bytes;
    this.#policy.removed(key);
    this.options.metrics.count('l1_evicted_chunks', 1);
    this.#ages.evicted(key, chunk, now);
  }
}

function newPolicy({ evictionPolicy, clock, conversationAware }: CacheTierOptions): EvictionPolicy {
  return createEvictionPolicy(evictionPolicy, clock, conversationAware);
}

function keysOf(run: ChunkRun): string[] {
  return run.hashes.map((hash) => `${run.model}/${hash}`);
}

/** Makes a key the youngest of its adapter. */
function refresh({ stored }: L2Adapter, key: string): void {
  const bytes = stored.get(key);
  if (bytes === undefined) return;
  stored.delete(key);
  stored.set(key, bytes);
}

/** Forgets what an L2 used longest ago until so many bytes fit. */
function makeRoomIn(adapter: L2Adapter, bytes: number): void {
  for (const [key, size] of adapter.stored) {
    if (adapter.usedBytes + bytes <= adapter.capacityBytes) return;
    adapter.stored.delete(key);
    adapter.usedBytes -= size;
  }
}

function prefixLength(keys: readonly string[], has: (key: string) => boolean): number {
  const miss = keys.findIndex((key) => !has(key));
  return miss < 0 ? keys.length : miss;
}

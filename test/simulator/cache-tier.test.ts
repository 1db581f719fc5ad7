import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CacheTier, type CacheTierOptions } from '../../simulator/lmcache/cache-tier.js';
import { chunkHashes } from '../../simulator/lmcache/chunk-hash.js';
import { connectorTo } from '../../simulator/lmcache/connector.js';
import { parseL2Adapter } from '../../simulator/lmcache/l2-adapter.js';
import { inProcessTier } from '../../simulator/lmcache/tier-client.js';
import type { CounterName, TierMetrics } from '../../simulator/lmcache/tier-metrics.js';

const KV_BYTES_PER_TOKEN = 1000;
const CHUNK_BYTES = 256 * KV_BYTES_PER_TOKEN;

function setUp(options: Partial<CacheTierOptions> = {}) {
  const clock = {
    seconds: 0,
    now() {
      return this.seconds;
    },
  };
  const counts = new Map<CounterName, number>();
  const metrics: TierMetrics = {
    count: (name, amount) => counts.set(name, (counts.get(name) ?? 0) + amount),
    observe: () => {},
  };
  const tier = new CacheTier({
    clock,
    metrics,
    chunkTokens: 256,
    l1Bytes: 100 * CHUNK_BYTES,
    evictionPolicy: 'LRU',
    watermark: 0.8,
    evictionRatio: 0.2,
    storePolicy: 'default',
    prefetchPolicy: 'default',
    l2: [],
    prefetchMaxInFlight: 8,
    sampleRate: 0,
    ...options,
  });
  const connector = connectorTo(inProcessTier(tier, 'm', KV_BYTES_PER_TOKEN), {
    kvBytesPerToken: KV_BYTES_PER_TOKEN,
    model: 'm',
    transfer: {
      loadBytesPerSecond: 1e6,
      storeBytesPerSecond: 1e6,
      loadOverheadSeconds: 0.1,
      loadScatter: 0,
      loadSlowdownBesideSteps: 0.5,
    },
    clock,
  });
  return { clock, counts, tier, connector };
}

const prompt = (tokens: number, first: number) => [first, ...new Array<number>(tokens - 1).fill(1)];

describe('the connector and its tier', () => {
  it('holds no more than the part of L1 that is allocated', async () => {
    let chunks = 2;
    const { connector } = setUp({ l1AllocatedBytes: () => chunks * CHUNK_BYTES });
    const ids = prompt(1024, 5);
    connector.store(ids, 0);
    expect(await connector.lookup(ids)).toBe(512);
    chunks = 3;
    connector.store(ids, 0);
    expect(await connector.lookup(ids)).toBe(768);
  });

  it.each([
    [255, 0],
    [300, 256],
    [512, 511],
    [10_009, 9984],
  ])('finds of a stored prompt of %i tokens %i: full chunks, one token always left', async (tokens, hit) => {
    const { connector } = setUp();
    const ids = prompt(tokens, 5);
    expect(await connector.lookup(ids)).toBe(0);
    connector.store(ids, 0);
    expect(await connector.lookup(ids)).toBe(hit);
    expect(await connector.lookup(prompt(tokens, 6))).toBe(0);
  });

  it('hits a common prefix up to the chunk that differs', async () => {
    const { connector } = setUp();
    const ids = prompt(1024, 5);
    connector.store(ids, 0);
    const other = ids.with(600, 99);
    expect(await connector.lookup(other)).toBe(512);
  });

  it('copies one load after the other, at the rate of the profile', async () => {
    const { connector, clock } = setUp();
    const ids = prompt(1025, 5);
    connector.store(ids, 0);
    const first = await connector.load(ids, 1024);
    expect(first.seconds).toBeCloseTo(0.1 + 1.024);
    const second = await connector.load(ids, 1024, 512);
    expect(second.seconds).toBeCloseTo(1.124 + 0.1 + 0.512);
    clock.seconds = 100;
    expect((await connector.load(ids, 1024)).seconds).toBeCloseTo(1.124);
    clock.seconds = 200;
    expect((await connector.load(ids, 1024, 0, 200, true)).seconds).toBeCloseTo(0.1 + 1.5 * 1.024);
  });

  it('says what is left when chunks vanished between lookup and load', async () => {
    const { connector, tier } = setUp();
    const ids = prompt(1025, 5);
    connector.store(ids, 0);
    const hit = await connector.lookup(ids);
    tier.clear();
    expect(await connector.load(ids, hit, 256)).toEqual({ seconds: 0, loadedTokens: 256 });
  });

  it('stores and finds nothing when disabled', async () => {
    const { connector, tier, counts } = setUp();
    tier.disabled = true;
    connector.store(prompt(1024, 5), 0);
    expect(await connector.lookup(prompt(1024, 5))).toBe(0);
    expect(tier.l1ChunkCount).toBe(0);
    expect(counts.get('lookup_requested_tokens')).toBe(1024);
    expect(counts.has('l1_write_chunks')).toBe(false);
  });
});

describe('L1 under pressure', () => {
  it('evicts a fifth, the oldest first, when four fifths are full', async () => {
    const { connector, tier, counts } = setUp();
    for (let index = 0; index < 80; index += 1) connector.store(prompt(256, index), 0);
    expect(tier.l1ChunkCount).toBe(80);
    await connector.lookup([...prompt(256, 0), 1]);
    connector.store(prompt(256, 1000), 0);
    expect(tier.l1ChunkCount).toBe(65);
    expect(counts.get('l1_evicted_chunks')).toBe(16);
    expect(await connector.lookup([...prompt(256, 0), 1])).toBe(256);
    expect(await connector.lookup([...prompt(256, 1), 1])).toBe(0);
    expect(await connector.lookup([...prompt(256, 17), 1])).toBe(256);
  });

  it('noop never evicts, and refuses what does not fit', () => {
    const { connector, tier } = setUp({ evictionPolicy: 'noop' });
    for (let index = 0; index < 150; index += 1) connector.store(prompt(256, index), 0);
    expect(tier.l1ChunkCount).toBe(100);
  });

  it('ARC keeps what was asked for again against a scan of new prompts', async () => {
    const hits = async (evictionPolicy: 'ARC' | 'LRU') => {
      const { connector } = setUp({ evictionPolicy });
      for (let index = 0; index < 20; index += 1) connector.store(prompt(256, index), 0);
      for (let index = 0; index < 20; index += 1) await connector.lookup([...prompt(256, index), 1]);
      for (let index = 100; index < 300; index += 1) connector.store(prompt(256, index), 0);
      let found = 0;
      for (let index = 0; index < 20; index += 1) found += await connector.lookup([...prompt(256, index), 1]);
      return found / 256;
    };
    expect(await hits('ARC')).toBe(20);
    expect(await hits('LRU')).toBe(0);
  });

  it.each(['LRU', 'ARC', 'IsolatedLRU', 'noop'] as const)('%s never holds more than it may', (evictionPolicy) => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(150)), { maxLength: 400 }), (operations) => {
        const { tier } = setUp({ evictionPolicy });
        for (const [isStore, first] of operations) {
          const run = { model: 'm', hashes: chunkHashes(prompt(512, first), 256, 'm'), chunkBytes: CHUNK_BYTES };
          if (isStore) tier.store(run, 0);
          else tier.lookup(run);
          expect(tier.l1UsedBytes).toBeLessThanOrEqual(100 * CHUNK_BYTES);
          expect(tier.l1UsedBytes).toBe(tier.l1ChunkCount * CHUNK_BYTES);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('a mock L2', () => {
  const l2 = () => parseL2Adapter('{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":0.001}');
  const chunkSeconds = CHUNK_BYTES / (0.001 * 1024 ** 3);

  it('with skip_l1 takes the chunks out of L1, and gives them back at its bandwidth', async () => {
    const { connector, tier, clock, counts } = setUp({ l2: [l2()], storePolicy: 'skip_l1', evictionPolicy: 'noop' });
    const ids = prompt(1025, 5);
    connector.store(ids, 0);
    expect(tier.l1ChunkCount).toBe(4);
    clock.seconds = 4 * chunkSeconds + 0.01;
    expect(tier.l1UsedBytes).toBe(0);
    expect(await connector.lookup(ids)).toBe(1024);
    const { seconds, loadedTokens } = await connector.load(ids, 1024);
    expect(loadedTokens).toBe(1024);
    expect(seconds).toBeCloseTo(4 * chunkSeconds + 0.014 + 0.1 + 1.024);
    expect(tier.l1UsedBytes).toBe(0);
    expect(counts.get('l2_store_completed_objects_chunks')).toBe(4);
    expect(counts.get('l2_prefetch_load_completed_chunks')).toBe(4);
  });

  it('with retain keeps what it fetched in L1', async () => {
    const { connector, tier, clock } = setUp({ l2: [l2()], storePolicy: 'skip_l1', prefetchPolicy: 'retain' });
    const ids = prompt(513, 5);
    connector.store(ids, 0);
    clock.seconds = 10;
    await connector.load(ids, 512);
    expect(tier.l1ChunkCount).toBe(2);
  });

  it('serves several requests at once, each at full bandwidth', async () => {
    const { connector, clock } = setUp({ l2: [l2()], storePolicy: 'skip_l1' });
    for (const first of [1, 2]) connector.store(prompt(513, first), 0);
    clock.seconds = 10;
    const one = await connector.load(prompt(513, 1), 512);
    const two = await connector.load(prompt(513, 2), 512);
    expect(two.seconds - one.seconds).toBeCloseTo(0.1 + 0.512);
  });

  it.each([
    ['not json', /not JSON: "not json"/],
    ['{"type":"mock","max_size_gb":1}', /mock_bandwidth_gb/],
    ['{"type":"s3"}', /simulated are mock, fs and fs_native/],
  ])('refuses %s', (json, message) => {
    expect(() => parseL2Adapter(json)).toThrow(message);
  });
});

describe('chunk names', () => {
  it('are equal exactly for equal prefixes', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(200_000), { minLength: 8, maxLength: 64 }), fc.nat(63), (ids, at) => {
        const names = chunkHashes(ids, 4, 'm');
        expect(names).toHaveLength(Math.floor(ids.length / 4));
        expect(chunkHashes([...ids, 1, 2, 3, 4], 4, 'm').slice(0, names.length)).toEqual(names);
        expect(chunkHashes(ids, 4, 'other')[0]).not.toBe(names[0]);
        const index = at % ids.length;
        const changed = chunkHashes(ids.with(index, (ids[index] ?? 0) + 1), 4, 'm');
        const chunk = Math.floor(index / 4);
        expect(changed.slice(0, chunk)).toEqual(names.slice(0, chunk));
        for (let later = chunk; later < names.length; later += 1) expect(changed[later]).not.toBe(names[later]);
      }),
    );
  });
});

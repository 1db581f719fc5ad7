import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BlockAge } from '../../simulator/contracts.js';
import { BlockAges } from '../../simulator/engine/block-ages.js';
import { BlockHashChain } from '../../simulator/engine/block-hash.js';
import { BlockPool } from '../../simulator/engine/block-pool.js';

describe('BlockPool', () => {
  it('reuses the least recently freed block first, the end of a sequence before its beginning', () => {
    const pool = new BlockPool(4);
    const blocks = pool.take(3);
    expect(blocks).toEqual([1, 2, 3]);
    pool.release([1, 2]);
    pool.release([3]);
    expect(pool.take(3)).toEqual([2, 1, 3]);
  });

  it('finds a freed block by its prefix until the block is reused', () => {
    const pool = new BlockPool(3);
    const [block = 0] = pool.take(1);
    pool.register(block, 42);
    pool.release([block]);
    expect(pool.find(42)).toBe(block);
    pool.share([block]);
    expect(pool.freeBlocks).toBe(1);
    pool.release([block]);
    pool.take(2);
    expect(pool.find(42)).toBeUndefined();
  });

  it('refuses to free twice, to give what it has not, and to be too small', () => {
    const pool = new BlockPool(3);
    const blocks = pool.take(2);
    pool.release(blocks);
    expect(() => pool.release(blocks)).toThrow('freed twice');
    expect(() => pool.take(3)).toThrow('3 blocks wanted, 2 free');
    expect(() => new BlockPool(1)).toThrow('"1"');
  });

  it('forgets prefixes on a reset, which is refused while a block is in use', () => {
    const pool = new BlockPool(3);
    const [block = 0] = pool.take(1);
    pool.register(block, 7);
    expect(pool.resetPrefixCache()).toBe(false);
    pool.release([block]);
    expect(pool.resetPrefixCache()).toBe(true);
    expect(pool.find(7)).toBeUndefined();
  });

  it('keeps its count whatever is taken, shared and freed', () => {
    const action = fc.record({ kind: fc.constantFrom('take', 'share', 'free'), count: fc.integer({ min: 1, max: 6 }) });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const pool = new BlockPool(12);
        const held: number[][] = [];
        for (const { kind, count } of actions) {
          const [first] = held;
          if (kind === 'take' && count <= pool.freeBlocks) held.push(pool.take(count));
          if (kind === 'share' && first) {
            pool.share(first);
            held.push([...first]);
          }
          if (kind === 'free') pool.release(held.shift() ?? []);
        }
        const references = new Map<number, number>();
        for (const block of held.flat()) references.set(block, (references.get(block) ?? 0) + 1);
        for (let block = 1; block < pool.blockCount; block += 1) {
          expect(pool.references(block)).toBe(references.get(block) ?? 0);
        }
        expect(pool.usedBlocks).toBe(references.size);
        expect(pool.usedBlocks + pool.freeBlocks).toBe(pool.usableBlocks);
      }),
    );
  });
});

describe('BlockHashChain', () => {
  const keysOf = (tokens: readonly number[]): readonly number[] => {
    const chain = new BlockHashChain(4);
    chain.extend(tokens.length, (position) => tokens[position] ?? 0);
    return chain.keys;
  };

  it('gives equal keys exactly to equal prefixes', () => {
    const tokens = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 24 });
    fc.assert(
      fc.property(tokens, tokens, (left, right) => {
        const leftKeys = keysOf(left);
        const rightKeys = keysOf(right);
        expect(leftKeys.length).toBe(Math.floor(left.length / 4));
        for (let block = 0; block < Math.min(leftKeys.length, rightKeys.length); block += 1) {
          const end = (block + 1) * 4;
          const samePrefix = left.slice(0, end).join() === right.slice(0, end).join();
          expect(leftKeys[block] === rightKeys[block]).toBe(samePrefix);
        }
      }),
    );
  });

  it('does not depend on how the sequence grew', () => {
    const tokens = Array.from({ length: 40 }, (_, index) => index * 7);
    const chain = new BlockHashChain(4);
    for (let length = 0; length <= tokens.length; length += 3)
      chain.extend(length, (position) => tokens[position] ?? 0);
    chain.extend(tokens.length, (position) => tokens[position] ?? 0);
    expect(chain.keys).toEqual(keysOf(tokens));
  });

  it('stays in the range of exact integers', () => {
    for (const key of keysOf(Array.from({ length: 4000 }, (_, index) => index))) {
      expect(Number.isSafeInteger(key) && key >= 0).toBe(true);
    }
  });
});

describe('the ages of GPU blocks', () => {
  function watchedPool(sampleRate: number) {
    const reported: BlockAge[] = [];
    const clock = { time: 0 };
    const pool = new BlockPool(1001);
    const report = (ages: readonly BlockAge[]): void => void reported.push(...ages);
    pool.observe(new BlockAges(() => clock.time, { sampleRate: () => sampleRate, report }));
    return { pool, reported, clock };
  }

  it('run from the allocation to the next one, idle from the last time they were taken into use', () => {
    const { pool, reported, clock } = watchedPool(1);
    const blocks = pool.take(1000);
    clock.time = 5;
    pool.release(blocks);
    for (const time of [10, 12, 17]) {
      clock.time = time;
      pool.share(blocks);
      // In use already: that is no use of its own.
      pool.share(blocks);
      pool.release(blocks);
      pool.release(blocks);
    }
    clock.time = 20;
    expect(reported).toEqual([]);
    pool.take(2);
    expect(reported).toEqual([0, 1].map(() => ({ lifetime: 20, idle: 3, reuseGaps: [2, 5] })));
  });

  it('are told of the part that is asked for', () => {
    const { pool, reported } = watchedPool(0.1);
    pool.release(pool.take(1000));
    pool.take(1000);
    expect(reported.length).toBeGreaterThan(80);
    expect(reported.length).toBeLessThan(120);
    const silent = watchedPool(0);
    silent.pool.release(silent.pool.take(1000));
    silent.pool.take(1000);
    expect(silent.reported).toEqual([]);
  });
});

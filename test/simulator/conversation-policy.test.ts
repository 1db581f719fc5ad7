import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConversationPolicy } from '../../simulator/lmcache/conversation-policy.js';
import { defaultConversationAware, worthUntil } from '../../simulator/lmcache/conversation-worth.js';

function setUp() {
  const clock = { seconds: 0, now: () => clock.seconds };
  const policy = new ConversationPolicy(clock, defaultConversationAware);
  const held = new Set<string>();
  /** One request: looked up, then what is missing is stored. */
  const request = (at: number, keys: readonly string[]): void => {
    clock.seconds = at;
    policy.used(keys);
    policy.filling(keys);
    for (const key of keys) {
      if (held.has(key)) continue;
      held.add(key);
      policy.added(key);
    }
  };
  /** For a request that is worth more than all that is there. */
  const evict = (count: number): readonly string[] => {
    clock.seconds += 1e6;
    policy.filling(['none']);
    const victims = policy.victims(count);
    for (const key of victims) {
      policy.removed(key);
      held.delete(key);
    }
    return victims;
  };
  return { policy, clock, request, evict, held };
}

describe('what a conversation is worth', () => {
  it('is worth more after a short pause than after a long one, and least when it is new', () => {
    const worth = (pause: number | null) => worthUntil(1000, pause, { referenceSeconds: 100, returnWeight: 1 });
    expect(worth(null)).toBe(1000);
    expect(worth(0)).toBeCloseTo(1000 + 100 * Math.log(2));
    expect(worth(100)).toBeCloseTo(1000 + 100 * Math.log(1 + Math.exp(-1)));
    expect(worth(1e9)).toBe(1000);
    expect(worthUntil(1000, 50, { referenceSeconds: 100, returnWeight: 0 })).toBe(1000);
  });
});

describe('conversation-aware eviction', () => {
  it('keeps a conversation that came back longer than one that was used later, but for the first time', () => {
    const { request, evict } = setUp();
    request(0, ['a1', 'a2']);
    request(10, ['a1', 'a2', 'a3']);
    request(40, ['b1', 'b2']);
    // Worth until 10 + 100 ln(1 + exp(-0.1)) = 74.4: longer than 40, not longer than 80.
    request(80, ['c1']);
    expect(evict(3)).toEqual(['b2', 'b1', 'a3']);
    expect(evict(3)).toEqual(['a2', 'a1', 'c1']);
  });

  it('counts a conversation as new of which nothing is left, and one whose end was evicted as the same', () => {
    const { request, evict } = setUp();
    request(0, ['a1', 'a2']);
    expect(evict(1)).toEqual(['a2']);
    request(10, ['a1', 'a2', 'a3']);
    request(40, ['b1']);
    expect(evict(4)).toEqual(['b1', 'a3', 'a2', 'a1']);
    request(100, ['a1', 'a2']);
    request(120, ['b1']);
    expect(evict(1)).toEqual(['a2']);
  });

  it('tells a new conversation from a turn where they begin alike', () => {
    const { request, evict } = setUp();
    request(0, ['s1', 's2', 'a1']);
    request(5, ['s1', 's2', 'b1']);
    request(6, ['s1', 's2', 'c1', 'c2']);
    // None came back: what was used last stays, and the beginning as long as anything that goes on from it.
    expect(evict(4)).toEqual(['a1', 'b1', 'c2', 'c1']);
    expect(evict(2)).toEqual(['s2', 's1']);
  });

  it('stores nothing for which something worth more would have to leave', () => {
    const { policy, clock, request } = setUp();
    request(0, ['a1']);
    request(10, ['a1', 'a2']);
    clock.seconds = 20;
    policy.filling(['b1']);
    expect(policy.victims(1)).toEqual([]);
    clock.seconds = 90;
    policy.filling(['c1']);
    expect(policy.victims(1)).toEqual(['a2']);
  });

  it('loses no chunk of a prompt that had lost all of its own', () => {
    const { policy, request, evict, clock } = setUp();
    request(0, ['s1', 'a1']);
    request(10, ['s1', 'a1']);
    // Worth less than what it shares with the first: it holds nothing.
    clock.seconds = 11;
    policy.used(['s1']);
    for (let number = 0; number < 60; number += 1) {
      request(12, [`x${number}`]);
      policy.removed(`x${number}`);
    }
    policy.filling(['s1', 'c1']);
    policy.added('c1');
    expect(evict(9)).toEqual(expect.arrayContaining(['s1', 'a1', 'c1']));
  });

  it('names each chunk it holds once, children before what they build on', () => {
    const runs = fc.array(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 6 }), { maxLength: 25 });
    fc.assert(
      fc.property(runs, fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 10 }), (paths, counts) => {
        const { request, evict, held, policy } = setUp();
        for (const [index, path] of paths.entries()) {
          request(
            index,
            path.map((_, end) => path.slice(0, end + 1).join('')),
          );
          const victims = policy.victims(counts[index] ?? 0);
          for (const key of victims) {
            policy.removed(key);
            held.delete(key);
          }
        }
        const all = evict(held.size);
        expect(new Set(all).size).toBe(all.length);
        expect(held.size).toBe(0);
        for (const [index, key] of all.entries()) {
          const later = all.slice(index + 1);
          expect(later.some((other) => other.length > key.length && other.startsWith(key))).toBe(false);
        }
      }),
    );
  });
});

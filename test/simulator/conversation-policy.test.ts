import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConversationPolicy } from '../../simulator/lmcache/conversation-policy.js';

function setUp() {
  const clock = { seconds: 0, now: () => clock.seconds };
  const policy = new ConversationPolicy(clock);
  const held = new Set<string>();
  /** One request: looked up, then what was missing is stored. */
  const request = (at: number, keys: readonly string[]): void => {
    clock.seconds = at;
    policy.used(keys);
    for (const [index, key] of keys.entries()) {
      if (held.has(key)) continue;
      held.add(key);
      policy.added(key, keys[index - 1] ?? null);
    }
  };
  const evict = (count: number): readonly string[] => {
    const victims = policy.victims(count);
    for (const key of victims) {
      policy.removed(key);
      held.delete(key);
    }
    return victims;
  };
  return { clock, request, evict, held };
}

describe('conversation-aware eviction', () => {
  it('takes a whole idle conversation, its end first, and leaves one that is due', () => {
    const { request, evict } = setUp();
    request(0, ['a1', 'a2']);
    request(1, ['b1', 'b2']);
    request(10, ['a1', 'a2', 'a3']);
    request(20, ['a1', 'a2', 'a3', 'a4']);
    expect(evict(2)).toEqual(['b2', 'b1']);
    expect(evict(2)).toEqual(['a4', 'a3']);
  });

  it('keeps a beginning that others share until they are gone', () => {
    const { request, evict } = setUp();
    request(0, ['s1', 's2', 'a1']);
    request(5, ['s1', 's2', 'b1']);
    request(6, ['s1', 's2', 'c1', 'c2']);
    expect(evict(1)).toEqual(['a1']);
    expect(evict(4)).toEqual(['b1', 'c2', 'c1', 's2']);
    expect(evict(1)).toEqual(['s1']);
  });

  it('prefers a conversation overdue by its own pace to an old one that is slow', () => {
    const { request, evict } = setUp();
    for (const at of [0, 100, 200]) request(at, ['slow', `slow${at}`].slice(0, 1));
    for (const at of [200, 201, 202, 203]) request(at, ['quick']);
    request(260, ['other']);
    expect(evict(1)).toEqual(['quick']);
  });

  it('names each chunk it holds once, children before what they build on', () => {
    const runs = fc.array(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 6 }), { maxLength: 25 });
    fc.assert(
      fc.property(runs, fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 10 }), (paths, counts) => {
        const { request, evict, held } = setUp();
        for (const [index, path] of paths.entries()) {
          request(
            index,
            path.map((_, end) => path.slice(0, end + 1).join('')),
          );
          const count = counts[index];
          if (count !== undefined) evict(count);
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

import { describe, expect, it } from 'vitest';
import { PromptCache } from '../../simulator/http/prompt-cache.js';
import { TurnQueue } from '../../simulator/http/turn-queue.js';

describe('TurnQueue', () => {
  it('runs one job in each turn of the event loop, in order', async () => {
    const queue = new TurnQueue();
    const log: string[] = [];
    const jobs = ['a', 'b', 'c'].map((name) =>
      queue.run(() => {
        log.push(name);
        setImmediate(() => log.push(`turn after ${name}`));
        return name;
      }),
    );
    expect(log).toEqual(['a']);
    expect(await Promise.all(jobs)).toEqual(['a', 'b', 'c']);
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).toEqual(['a', 'turn after a', 'b', 'turn after b', 'c', 'turn after c']);
  });

  it('starts at once when nothing is before a job, and goes on after one that throws', async () => {
    const queue = new TurnQueue();
    await expect(
      queue.run(() => {
        throw new Error('broken');
      }),
    ).rejects.toThrow('broken');
    await new Promise((resolve) => setImmediate(resolve));
    let ran = false;
    const done = queue.run(() => {
      ran = true;
    });
    expect(ran).toBe(true);
    await done;
  });
});

describe('PromptCache', () => {
  it('tokenises a long prompt once, as long as it is among the last ones used', () => {
    const cache = new PromptCache();
    let calls = 0;
    const ask = (text: string, key = 'chat'): readonly number[] =>
      cache.get(key, text, () => {
        calls += 1;
        return [calls];
      });
    const long = 'x'.repeat(3000);
    expect([ask(long), ask(long), calls]).toEqual([[1], [1], 1]);
    expect(ask(long, 'text')).toEqual([2]);
    for (let other = 0; other < 127; other += 1) {
      ask(long);
      ask(`${other} ${long}`);
    }
    expect(ask(long)).toEqual([1]);
    expect(ask(long, 'text')).not.toEqual([2]);
  });

  it('does not keep short ones', () => {
    const cache = new PromptCache();
    let calls = 0;
    const tokenize = (): readonly number[] => {
      calls += 1;
      return [];
    };
    cache.get('', 'short', tokenize);
    cache.get('', 'short', tokenize);
    expect(calls).toBe(2);
  });
});

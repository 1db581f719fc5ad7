import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SamplingKey, TokenStream } from '../../simulator/contracts.js';
import { createTextGenerator } from '../../simulator/text.js';
import { createBuiltInTokenizer } from '../../simulator/tokenizer/built-in-tokenizer.js';

const tokenizer = createBuiltInTokenizer(151_936);
const generator = createTextGenerator(tokenizer);
const greedy: SamplingKey = { temperature: 0, seed: null, sequence: 0 };

function words(stream: TokenStream, count = 40): readonly number[] {
  return Array.from({ length: count }, (_, position) => stream.tokenAt(position));
}

describe('generated text', () => {
  it('is readable: sentences of words', () => {
    const text = tokenizer.decode(words(generator.stream([1, 2, 3], greedy)));
    expect(text).toMatch(/^( [A-Z][a-z]+( [a-z]+){8}\.){4}$/);
  });

  it('is the sum of its tokens, so that it can be streamed', () => {
    const ids = words(generator.stream([5], greedy), 100);
    expect(ids.map((id) => tokenizer.tokenText(id)).join('')).toBe(tokenizer.decode(ids));
  });

  it('depends on prompt, position and nothing else at temperature 0', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(151_000), { maxLength: 50 }),
        fc.nat(1_000_000),
        fc.nat(9),
        (prompt, seed, sequence) => {
          const one = words(generator.stream(prompt, greedy));
          expect(words(generator.stream(prompt, { temperature: 0, seed, sequence }))).toEqual(one);
          expect(words(generator.stream([...prompt, 7], greedy))).not.toEqual(one);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('gives the same token whenever a position is asked for', () => {
    const stream = generator.stream([9, 9], greedy);
    const late = stream.tokenAt(77);
    words(stream, 100);
    expect(stream.tokenAt(77)).toBe(late);
  });

  it('follows seed and sequence above temperature 0, reproducibly', () => {
    const at = (seed: number, sequence = 0) => words(generator.stream([1], { temperature: 0.8, seed, sequence }));
    expect(at(1)).toEqual(at(1));
    expect(at(1)).not.toEqual(at(2));
    expect(at(1)).not.toEqual(at(1, 1));
  });

  it('changes with a salt', () => {
    const plain = words(generator.stream([1], greedy));
    expect(words(generator.stream([1], { ...greedy, salt: 1 }))).not.toEqual(plain);
  });

  it('ends somewhere by itself, not before 512 tokens', () => {
    const { length } = generator.stream([4], greedy);
    expect(length).toBeGreaterThanOrEqual(512);
    expect(length).toBeLessThan(1024);
  });
});

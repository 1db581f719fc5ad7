import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OddsChain } from '../../simulator/token-odds.js';

const VOCABULARY = 1000;
const oddsOf = (ids: readonly number[], chosen: boolean) => {
  const chain = new OddsChain(VOCABULARY);
  return ids.map((id) => chain.next(id, chosen, 20));
};
const text = fc.array(fc.nat(VOCABULARY - 1), { minLength: 1, maxLength: 50 });

describe('the odds of tokens', () => {
  it('are sound: at most 1 in all, falling by rank, each token once, and the own one where its rank says', () => {
    fc.assert(
      fc.property(text, fc.boolean(), (ids, chosen) => {
        for (const { id, logprob, rank, best } of oddsOf(ids, chosen)) {
          const total = best.reduce((sum, token) => sum + Math.exp(token.logprob), 0);
          expect(total).toBeLessThan(1);
          expect(best.map((token) => token.logprob)).toEqual(
            best.map((token) => token.logprob).toSorted((left, right) => right - left),
          );
          expect(new Set(best.map((token) => token.id)).size).toBe(best.length);
          expect(rank).toBeLessThanOrEqual(VOCABULARY);
          if (chosen) expect(rank).toBe(1);
          expect(best.findIndex((token) => token.id === id) + 1).toBe(rank <= 20 ? rank : 0);
          if (rank <= 20) expect(logprob).toBe(best[rank - 1]?.logprob);
          else expect(logprob).toBeLessThan(best.at(-1)?.logprob ?? 0);
        }
      }),
    );
  });

  it('hang on the text before and on nothing else', () => {
    const [first, second] = [oddsOf([5, 6, 7], false), oddsOf([5, 6, 8], false)];
    expect(second.slice(0, 2)).toEqual(first.slice(0, 2));
    expect(oddsOf([4, 6, 7], false)[1]).not.toEqual(first[1]);
  });
});

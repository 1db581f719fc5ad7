import { hashNumbers } from './chance.js';

/** A token of a running text with how likely it was there, and the likeliest ones. */
export interface TokenOdds {
  readonly id: number;
  /** Natural logarithm, as a 32-bit float. */
  readonly logprob: number;
  /** 1 is the likeliest token of the vocabulary. */
  readonly rank: number;
  /** In the order of their ranks. */
  readonly best: readonly { readonly id: number; readonly logprob: number }[];
}

/** Of what is left, the likeliest token takes this share, and each further one that share. */
const FIRST_SHARE = { least: 0.4, range: 0.4 };
const NEXT_SHARE = { least: 0.35, range: 0.15 };
/** Ranks with a share of their own; all others share what is left. */
const LISTED = 20;

/**
 * Log probabilities of the tokens of one text, out of hashes: no model stands behind them, but they are sound (they sum up
 * to less than 1, ranks and values agree) and the same prefix and token have the same ones in every batch and on every server.
 */
export class OddsChain {
  readonly #vocabulary: number;
  #state = hashNumbers([]);

  constructor(vocabulary: number) {
    this.#vocabulary = vocabulary;
  }

  /**
   * The odds of the text's next token, which then belongs to the text.
   * @param chosen the token was chosen as the likeliest one; else its rank is drawn by lot.
   * @param count how many of the likeliest to name.
   */
  next(id: number, chosen: boolean, count: number): TokenOdds {
    const seed = this.#state;
    this.#state = hashNumbers([id], seed);
    const logprobs = this.#logprobs(seed);
    const rank = chosen ? 1 : this.#rankOf(seed, id);
    const logprob = this.#logprobAt(rank, id, seed, logprobs);
    const named = Math.min(count, LISTED, this.#vocabulary);
    const best = Array.from({ length: named }, (_, index) => ({
      id: index === rank - 1 ? id : this.#other(seed, index, id),
      logprob: logprobs[index] ?? 0,
    }));
    return { id, logprob, rank, best };
  }

  /** The text goes on by a token whose odds nobody asks for. */
  pass(id: number): void {
    this.#state = hashNumbers([id], this.#state);
  }

  /** Log probabilities of different tokens as the text's next one. The text does not go on. */
  alternatives(ids: readonly number[]): readonly number[] {
    const logprobs = this.#logprobs(this.#state);
    const taken = new Set<number>();
    return ids.map((id) => {
      let rank = this.#rankOf(this.#state, id);
      while (taken.has(rank)) rank += 1;
      taken.add(rank);
      return this.#logprobAt(rank, id, this.#state, logprobs);
    });
  }

  /** Of a rank that is not listed, a share of what the listed ones leave. */
  #logprobAt(rank: number, id: number, seed: number, logprobs: readonly number[]): number {
    const last = logprobs[LISTED - 1] ?? 0;
    return logprobs[rank - 1] ?? Math.fround(last - Math.log(rank / LISTED) - unit(seed, id));
  }

  #logprobs(seed: number): readonly number[] {
    let left = 0;
    return Array.from({ length: LISTED }, (_, index) => {
      const { least, range } = index === 0 ? FIRST_SHARE : NEXT_SHARE;
      const share = least + range * unit(seed, -1 - index);
      const logprob = Math.fround(left + Math.log(share));
      left += Math.log(1 - share);
      return logprob;
    });
  }

  /** About a quarter of a text's tokens are the likeliest, and any rank occurs. */
  #rankOf(seed: number, id: number): number {
    return Math.min(this.#vocabulary, Math.floor(this.#vocabulary ** (unit(seed, id) ** 2)));
  }

  /** The token of a rank: a different one for each, and never `taken`. */
  #other(seed: number, index: number, taken: number): number {
    const id = (Math.floor(unit(seed, -100) * this.#vocabulary) + index * 7919) % this.#vocabulary;
    return id === taken ? (id + 1) % this.#vocabulary : id;
  }
}

function unit(seed: number, value: number): number {
  let mixed = hashNumbers([value], seed);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
}

import { OddsChain, type TokenOdds } from '../token-odds.js';

/** What a request wants to know of its tokens' odds; null: nothing. */
export interface LogprobsWanted {
  /** Likeliest tokens beside each generated one. */
  readonly generated: number | null;
  /** Likeliest tokens beside each token of the prompt. */
  readonly prompt: number | null;
}

/** The tokens of a completion, those of an echoed prompt included; its fields as vLLM names them. */
export interface CompletionLogprobs {
  readonly text_offset: readonly number[];
  readonly token_logprobs: readonly (number | null)[];
  readonly tokens: readonly string[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
}

interface ChatToken {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}

/** The tokens of a chat's answer. */
export interface ChatLogprobs {
  readonly content: readonly (ChatToken & { readonly top_logprobs: readonly ChatToken[] })[];
}

export interface TokenNames {
  readonly vocabularySize: number;
  tokenText(id: number): string;
}

/** The odds of one sequence's tokens, put into the forms of both endpoints. The text of the answer goes on token by token. */
export class SequenceLogprobs {
  readonly #wanted: LogprobsWanted;
  readonly #names: TokenNames;
  /** The token is always the likeliest one (temperature 0). */
  readonly #greedy: boolean;
  readonly #chain: OddsChain;
  readonly #prompt: readonly (TokenOdds | null)[];
  readonly #promptIds: readonly number[];
  #textOffset = 0;

  constructor(wanted: LogprobsWanted, names: TokenNames, promptIds: readonly number[], greedy: boolean) {
    this.#wanted = wanted;
    this.#names = names;
    this.#greedy = greedy;
    this.#promptIds = promptIds;
    this.#chain = new OddsChain(names.vocabularySize);
    const count = wanted.prompt ?? 0;
    // Nothing comes before the first token that could make it likely.
    this.#prompt = promptIds.map((id, index) => {
      const odds = this.#chain.next(id, false, count);
      return index === 0 ? null : odds;
    });
  }

  /** choices[].prompt_logprobs of a completion, prompt_logprobs of a chat; null where not asked for. */
  promptLogprobs(): readonly (Readonly<Record<string, unknown>> | null)[] | null {
    if (this.#wanted.prompt === null) return null;
    return this.#prompt.map((odds) => {
      if (odds === null) return null;
      const shown = ({ id, logprob }: TokenOdds['best'][number], rank: number): readonly [string, unknown] => [
        `${id}`,
        { logprob, rank, decoded_token: this.#names.tokenText(id) },
      ];
      const best = odds.best.map((token, index) => shown(token, index + 1));
      return Object.fromEntries([shown(odds, odds.rank), ...best]);
    });
  }

  /** The prompt's tokens in the form of generated ones (echo). */
  echoed(): CompletionLogprobs {
    return this.#completion(this.#prompt.map((odds, index) => ({ id: this.#promptIds[index] ?? 0, odds })));
  }

  /** The next generated tokens; null where not asked for. */
  completion(ids: readonly number[]): CompletionLogprobs | null {
    const odds = this.#generated(ids);
    return odds === null ? null : this.#completion(odds.map((own) => ({ id: own.id, odds: own })));
  }

  /** The next generated tokens of a chat; null where not asked for. */
  chat(ids: readonly number[]): ChatLogprobs | null {
    const odds = this.#generated(ids);
    if (odds === null) return null;
    const shown = ({ id, logprob }: TokenOdds['best'][number]): ChatToken => {
      const token = this.#names.tokenText(id);
      return { token, logprob, bytes: [...Buffer.from(token)] };
    };
    const count = this.#wanted.generated ?? 0;
    return {
      content: odds.map((own) => ({
        ...shown(own),
        top_logprobs: withOwn(own).slice(0, count).map(shown),
      })),
    };
  }

  #generated(ids: readonly number[]): readonly TokenOdds[] | null {
    const count = this.#wanted.generated;
    return count === null ? null : ids.map((id) => this.#chain.next(id, this.#greedy, count));
  }

  #completion(entries: readonly { readonly id: number; readonly odds: TokenOdds | null }[]): CompletionLogprobs {
    const tokens = entries.map(({ id }) => this.#names.tokenText(id));
    return {
      text_offset: tokens.map((token) => {
        const offset = this.#textOffset;
        this.#textOffset += token.length;
        return offset;
      }),
      token_logprobs: entries.map(({ odds }) => odds?.logprob ?? null),
      tokens,
      top_logprobs: entries.map(
        ({ odds }) =>
          odds && Object.fromEntries(withOwn(odds).map(({ id, logprob }) => [this.#names.tokenText(id), logprob])),
      ),
    };
  }
}

/** Joins what follows each other. */
export function joinedCompletion(
  first: CompletionLogprobs | null,
  second: CompletionLogprobs | null,
): CompletionLogprobs | null {
  if (first === null || second === null) return first ?? second;
  return {
    text_offset: [...first.text_offset, ...second.text_offset],
    token_logprobs: [...first.token_logprobs, ...second.token_logprobs],
    tokens: [...first.tokens, ...second.tokens],
    top_logprobs: [...first.top_logprobs, ...second.top_logprobs],
  };
}

/** The token itself, then the likeliest ones, which it may be among. */
function withOwn(odds: TokenOdds): readonly TokenOdds['best'][number][] {
  return [{ id: odds.id, logprob: odds.logprob }, ...odds.best.filter(({ id }) => id !== odds.id)];
}

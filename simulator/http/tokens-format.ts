import type { Sequence } from '../engine/sequence.js';
import {
  type AnswerFormat,
  type AnswerHead,
  type ChunkPart,
  type FinishedChoice,
  type StreamFailure,
  toldFailure,
  type Usage,
} from './answer-format.js';
import { type ChatLogprobs, SequenceLogprobs } from './logprobs-format.js';

export interface TokensFormatOptions {
  /** Likeliest tokens to name beside each; null: no odds are asked for. */
  readonly logprobs: number | null;
  /** The answer took the likeliest token every time. */
  readonly greedy: boolean;
  readonly vocabularySize: number;
}

/** Answers of /inference/v1/generate: token ids, and tokens by their ids where odds are asked for. */
export class TokensFormat implements AnswerFormat {
  readonly #head: AnswerHead;
  readonly #odds: readonly (SequenceLogprobs | null)[];
  readonly #leastNamed: number;

  constructor(head: AnswerHead, sequences: readonly Sequence[], options: TokensFormatOptions) {
    const { logprobs, greedy, vocabularySize } = options;
    this.#head = head;
    // The token itself is named even where no others are asked for.
    this.#leastNamed = Math.max(1, logprobs ?? 0);
    const wanted = { generated: this.#leastNamed, prompt: null };
    const names = { vocabularySize, tokenText: (id: number) => `token_id:${id}` };
    this.#odds = sequences.map(({ promptIds }) =>
      logprobs === null ? null : new SequenceLogprobs(wanted, names, promptIds, greedy),
    );
  }

  opening(): string {
    return '';
  }

  start(): string {
    return '';
  }

  content({ index, finishReason, tokenIds }: ChunkPart, usage: Usage | null): string {
    if (tokenIds === null || tokenIds.length === 0) return '';
    const choice = { index, logprobs: this.#logprobs(index, tokenIds), finish_reason: finishReason };
    return this.#event({
      choices: [{ ...choice, token_ids: tokenIds, routed_experts: null }],
      usage: usage && usageOf(usage),
    });
  }

  end(usage: Usage | null): string {
    const done = 'data: [DONE]\n\n';
    if (usage === null) return done;
    const { prompt_tokens_details: _, ...numbers } = usageOf(usage);
    const details = usage.details && { prompt_tokens_details: { cached_tokens: usage.details.cachedTokens } };
    return this.#event({ choices: [], usage: { ...numbers, ...details } }) + done;
  }

  failure(): StreamFailure {
    return toldFailure;
  }

  body(choices: readonly FinishedChoice[], usage: Usage): string {
    return JSON.stringify({
      request_id: this.#head.id,
      model: this.#head.model,
      created: this.#head.created,
      choices: choices.map(({ index, finishReason, tokenIds }) => ({
        index,
        logprobs: this.#logprobs(index, tokenIds ?? []),
        finish_reason: finishReason,
        token_ids: tokenIds ?? [],
        routed_experts: null,
      })),
      usage: usageOf(usage),
      prompt_logprobs: choices[0]?.promptLogprobs ?? null,
      kv_transfer_params: null,
      ec_transfer_params: null,
    });
  }

  #event(rest: object): string {
    return `data: ${JSON.stringify({ request_id: this.#head.id, ...rest })}\n\n`;
  }

  /** Ids have no bytes. */
  #logprobs(index: number, ids: readonly number[]): unknown {
    const named = this.#odds[index]?.chat(ids) ?? null;
    if (named === null) return null;
    const shown = ({ token, logprob }: ChatLogprobs['content'][number]['top_logprobs'][number]) => ({
      token,
      logprob,
      bytes: null,
    });
    return {
      content: named.content.map((entry) => ({ ...shown(entry), top_logprobs: entry.top_logprobs.map(shown) })),
    };
  }
}

function usageOf({ promptTokens, completionTokens, details }: Usage) {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
    prompt_tokens_details: details && {
      cached_tokens: details.cachedTokens,
      created_cache_tokens: null,
      multimodal_tokens: null,
    },
  };
}

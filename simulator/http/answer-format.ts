import type { FinishReason } from '../engine/sequence.js';

/** What every part of one answer has in common. */
export interface AnswerHead {
  readonly endpoint: 'completion' | 'chat';
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
  readonly fingerprint: string;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** null unless the server was started with --enable-prompt-tokens-details. */
  readonly details: { readonly cachedTokens: number; readonly createdCacheTokens: number } | null;
}

/** One event's part of an answer. */
export interface ChunkPart {
  readonly index: number;
  readonly text: string;
  /** JSON of a chat's delta where it is not text. */
  readonly delta: string | null;
  readonly finishReason: FinishReason | 'tool_calls' | null;
  readonly stopReason: string | null;
  /** Only with return_token_ids. */
  readonly tokenIds: readonly number[] | null;
  readonly promptTokenIds: readonly number[] | null;
  /** In the form of the endpoint; null where not asked for. */
  readonly logprobs: unknown;
}

export interface FinishedChoice {
  readonly index: number;
  /** null: there is nothing but calls. */
  readonly text: string | null;
  readonly toolCalls: readonly unknown[];
  readonly finishReason: FinishReason | 'tool_calls';
  readonly stopReason: string | null;
  readonly tokenIds: readonly number[] | null;
  readonly promptTokenIds: readonly number[] | null;
  /** In the form of the endpoint; null where not asked for. */
  readonly logprobs: unknown;
  readonly promptLogprobs: unknown;
}

/**
 * Server-sent events as vLLM 0.26 sends them, field by field. What does not change within an answer is made once,
 * because these strings are built for every token.
 */
export class ChunkFormat {
  readonly #head: AnswerHead;
  readonly #start: string;

  constructor(head: AnswerHead) {
    this.#head = head;
    const object = head.endpoint === 'chat' ? 'chat.completion.chunk' : 'text_completion';
    this.#start = `data: {"id":${JSON.stringify(head.id)},"object":"${object}","created":${head.created},"model":${JSON.stringify(head.model)},"choices":[`;
  }

  /** The assistant's role, which leaves with the first content. Chat only. */
  role(index: number, usage: Usage | null, promptTokenIds: readonly number[] | null): string {
    const choice = `{"index":${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}`;
    return `${this.#start}${choice}]${usageField(usage)},"prompt_token_ids":${idsJson(promptTokenIds)},"prompt_text":null}\n\n`;
  }

  /** @param withFingerprint on the last chunk of an answer without a usage chunk. */
  content(part: ChunkPart, usage: Usage | null, withFingerprint: boolean): string {
    const choice = this.#head.endpoint === 'chat' ? chatChoice(part) : completionChoice(part);
    return `${this.#start}${choice}]${usageField(usage)}${withFingerprint ? this.#fingerprint() : ''}}\n\n`;
  }

  usage(usage: Usage): string {
    const details = usage.details === null ? '' : `,"prompt_tokens_details":${this.#detailsJson(usage.details)}`;
    return `${this.#start}],"usage":{${usageNumbers(usage)}${details}}${this.#fingerprint()}}\n\n`;
  }

  #fingerprint(): string {
    return `,"system_fingerprint":${JSON.stringify(this.#head.fingerprint)}`;
  }

  #detailsJson(details: NonNullable<Usage['details']>): string {
    const created = this.#head.endpoint === 'chat' ? `,"created_cache_tokens":${details.createdCacheTokens}` : '';
    return `{"cached_tokens":${details.cachedTokens}${created}}`;
  }
}

export const DONE_EVENT = 'data: [DONE]\n\n';

/** The body of an answer that is not streamed. */
export function answerBody(head: AnswerHead, choices: readonly FinishedChoice[], usage: Usage): string {
  const chat = head.endpoint === 'chat';
  const shared = {
    id: head.id,
    object: chat ? 'chat.completion' : 'text_completion',
    created: head.created,
    model: head.model,
    choices: choices.map(chat ? finishedChat : finishedCompletion),
    service_tier: null,
    system_fingerprint: head.fingerprint,
    usage: {
      prompt_tokens: usage.promptTokens,
      total_tokens: usage.promptTokens + usage.completionTokens,
      completion_tokens: usage.completionTokens,
      prompt_tokens_details: usage.details && {
        cached_tokens: usage.details.cachedTokens,
        created_cache_tokens: chat ? usage.details.createdCacheTokens : null,
        multimodal_tokens: null,
      },
    },
  };
  const promptIds = choices[0]?.promptTokenIds ?? null;
  const tail = { kv_transfer_params: null, ec_transfer_params: null, metrics: null };
  return JSON.stringify(
    chat
      ? {
          ...shared,
          prompt_logprobs: choices[0]?.promptLogprobs ?? null,
          prompt_token_ids: promptIds,
          prompt_text: null,
          ...tail,
        }
      : { ...shared, ...tail },
  );
}

function finishedChat(choice: FinishedChoice): Readonly<Record<string, unknown>> {
  return {
    index: choice.index,
    message: {
      role: 'assistant',
      content: choice.text,
      refusal: null,
      annotations: null,
      audio: null,
      function_call: null,
      ...(choice.toolCalls.length > 0 ? { tool_calls: choice.toolCalls } : {}),
      reasoning: null,
    },
    logprobs: choice.logprobs,
    finish_reason: choice.finishReason,
    stop_reason: choice.stopReason,
    token_ids: choice.tokenIds,
    routed_experts: null,
  };
}

function finishedCompletion(choice: FinishedChoice): Readonly<Record<string, unknown>> {
  return {
    index: choice.index,
    text: choice.text,
    logprobs: choice.logprobs,
    finish_reason: choice.finishReason,
    stop_reason: choice.stopReason,
    token_ids: choice.tokenIds,
    prompt_logprobs: choice.promptLogprobs,
    prompt_token_ids: choice.promptTokenIds,
    routed_experts: null,
  };
}

function chatChoice({ index, text, delta, finishReason, stopReason, tokenIds, logprobs }: ChunkPart): string {
  const end =
    finishReason === null
      ? '"finish_reason":null'
      : `"finish_reason":"${finishReason}","stop_reason":${JSON.stringify(stopReason)}`;
  return `{"index":${index},"delta":${delta ?? `{"content":${JSON.stringify(text)}}`},"logprobs":${json(logprobs)},${end},"token_ids":${idsJson(tokenIds)}}`;
}

function completionChoice(part: ChunkPart): string {
  const { index, text, finishReason, stopReason, tokenIds, promptTokenIds, logprobs } = part;
  return `{"index":${index},"text":${JSON.stringify(text)},"logprobs":${json(logprobs)},"finish_reason":${JSON.stringify(finishReason)},"stop_reason":${JSON.stringify(stopReason)},"prompt_token_ids":${idsJson(promptTokenIds)},"token_ids":${idsJson(tokenIds)}}`;
}

/** Nothing is the usual case: these strings are built for every token. */
function json(value: unknown): string {
  return value === null ? 'null' : JSON.stringify(value);
}

function usageField(usage: Usage | null): string {
  return usage === null ? '' : `,"usage":{${usageNumbers(usage)}}`;
}

function usageNumbers({ promptTokens, completionTokens }: Usage): string {
  return `"prompt_tokens":${promptTokens},"total_tokens":${promptTokens + completionTokens},"completion_tokens":${completionTokens}`;
}

function idsJson(ids: readonly number[] | null): string {
  return ids === null ? 'null' : `[${ids.join(',')}]`;
}

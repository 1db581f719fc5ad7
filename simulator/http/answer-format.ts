import type { FinishReason } from '../engine/sequence.js';
import type { ReadCall, ToolCall, ToolDelta } from './tool-call-reader.js';

/** What every part of one answer has in common. */
export interface AnswerHead {
  readonly endpoint: 'completion' | 'chat';
  /** Who speaks. */
  readonly role: string;
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
  /** What is new of a tool's call; null: the answer is text. */
  readonly toolDeltas: readonly ToolDelta[] | null;
  /** With the last token: all that was said where tools may be called; null elsewhere. */
  readonly read: ReadCall | null;
  readonly finishReason: FinishReason | null;
  /** The end is reported as that of a tool's call. */
  readonly endsAsCall: boolean;
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
  readonly calls: readonly ToolCall[];
  readonly finishReason: FinishReason;
  /** The end is reported as that of a tool's call. */
  readonly endsAsCall: boolean;
  readonly stopReason: string | null;
  readonly tokenIds: readonly number[] | null;
  readonly promptTokenIds: readonly number[] | null;
  /** In the form of the endpoint; null where not asked for. */
  readonly logprobs: unknown;
  readonly promptLogprobs: unknown;
}

/** What becomes of a stream whose request the engine fails. */
export type StreamFailure =
  /** The choice ends as if all had been said: vLLM tells nothing of one that got no token. */
  | { readonly kind: 'untold' }
  | { readonly kind: 'told'; readonly lastEvents: string }
  /** The connection breaks off. */
  | { readonly kind: 'broken' };

/** How a dialect writes an answer: a stream's events, blank lines included, or one whole body. */
export interface AnswerFormat {
  /** Events that leave before anything is computed. */
  opening(): string;
  /** Precedes the first content of a choice. */
  start(index: number, usage: Usage | null, promptTokenIds: readonly number[] | null): string;
  /** @param isLast nothing but the end follows, and no usage is told there. */
  content(part: ChunkPart, usage: Usage | null, isLast: boolean): string;
  /** @param usage null where nobody asked for it. */
  end(usage: Usage | null): string;
  /** @param begun a part of the choice has left. */
  failure(begun: boolean): StreamFailure;
  /** The body of an answer that is not streamed. */
  body(choices: readonly FinishedChoice[], usage: Usage): string;
}

/**
 * OpenAI's completions and chats as vLLM 0.26 sends them, field by field. What does not change within an answer is made
 * once, because these strings are built for every token.
 */
export class OpenAiFormat implements AnswerFormat {
  readonly #head: AnswerHead;
  readonly #start: string;

  constructor(head: AnswerHead) {
    this.#head = head;
    const object = head.endpoint === 'chat' ? 'chat.completion.chunk' : 'text_completion';
    this.#start = `data: {"id":${JSON.stringify(head.id)},"object":"${object}","created":${head.created},"model":${JSON.stringify(head.model)},"choices":[`;
  }

  opening(): string {
    return '';
  }

  /** The assistant's role in a chat. */
  start(index: number, usage: Usage | null, promptTokenIds: readonly number[] | null): string {
    if (this.#head.endpoint === 'completion') return '';
    const choice = `{"index":${index},"delta":{"role":${JSON.stringify(this.#head.role)},"content":""},"logprobs":null,"finish_reason":null}`;
    return `${this.#start}${choice}]${usageField(usage)},"prompt_token_ids":${idsJson(promptTokenIds)},"prompt_text":null}\n\n`;
  }

  content(part: ChunkPart, usage: Usage | null, isLast: boolean): string {
    const choice = this.#head.endpoint === 'chat' ? chatChoice(part) : completionChoice(part);
    return `${this.#start}${choice}]${usageField(usage)}${isLast ? this.#fingerprint() : ''}}\n\n`;
  }

  end(usage: Usage | null): string {
    return (usage === null ? '' : this.#usageEvent(usage)) + DONE_EVENT;
  }

  failure(begun: boolean): StreamFailure {
    return begun ? toldFailure : { kind: 'untold' };
  }

  body(choices: readonly FinishedChoice[], usage: Usage): string {
    return JSON.stringify(answerBody(this.#head, choices, usage));
  }

  #usageEvent(usage: Usage): string {
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

const DONE_EVENT = 'data: [DONE]\n\n';
const FAILURE =
  '{"error": {"message": "Internal server error", "type": "InternalServerError", "param": null, "code": 500}}';
/** The end of a stream of OpenAI's kind. */
export const toldFailure: StreamFailure = { kind: 'told', lastEvents: `data: ${FAILURE}\n\n${DONE_EVENT}` };

function answerBody(head: AnswerHead, choices: readonly FinishedChoice[], usage: Usage): unknown {
  const chat = head.endpoint === 'chat';
  const shared = {
    id: head.id,
    object: chat ? 'chat.completion' : 'text_completion',
    created: head.created,
    model: head.model,
    choices: choices.map(chat ? (choice) => finishedChat(choice, head.role) : finishedCompletion),
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
  const chatTail = {
    prompt_logprobs: choices[0]?.promptLogprobs ?? null,
    prompt_token_ids: promptIds,
    prompt_text: null,
  };
  return { ...shared, ...(chat ? chatTail : {}), ...tail };
}

function finishedChat(choice: FinishedChoice, role: string): Readonly<Record<string, unknown>> {
  return {
    index: choice.index,
    message: {
      role,
      content: choice.text,
      refusal: null,
      annotations: null,
      audio: null,
      function_call: null,
      ...(choice.calls.length > 0 ? { tool_calls: choice.calls.map(finishedCall) } : {}),
      reasoning: null,
    },
    logprobs: choice.logprobs,
    finish_reason: choice.endsAsCall ? 'tool_calls' : choice.finishReason,
    stop_reason: choice.stopReason,
    token_ids: choice.tokenIds,
    routed_experts: null,
  };
}

function finishedCall({ id, name, arguments: given }: ToolCall): unknown {
  return { id, type: 'function', function: { name, arguments: given } };
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

function chatChoice(part: ChunkPart): string {
  const { index, text, toolDeltas, finishReason, endsAsCall, stopReason, tokenIds, logprobs } = part;
  const delta = toolDeltas === null ? `{"content":${JSON.stringify(text)}}` : toolDelta(toolDeltas);
  const end =
    finishReason === null
      ? '"finish_reason":null'
      : `"finish_reason":"${endsAsCall ? 'tool_calls' : finishReason}","stop_reason":${JSON.stringify(stopReason)}`;
  return `{"index":${index},"delta":${delta},"logprobs":${json(logprobs)},${end},"token_ids":${idsJson(tokenIds)}}`;
}

function toolDelta(deltas: readonly ToolDelta[]): string {
  if (deltas.length === 0) return '{}';
  const calls = deltas.map((delta) =>
    'name' in delta
      ? { id: delta.id, type: 'function', index: 0, function: { name: delta.name } }
      : { index: 0, function: { arguments: delta.arguments } },
  );
  return JSON.stringify({ content: null, tool_calls: calls });
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

import type { Usage } from './answer-format.js';
import type { ResponsesRequest } from './responses-request.js';

export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'cancelled';

/** vLLM 0.26's object of a response, field by field. */
export interface ResponseObject {
  readonly id: string;
  readonly status: ResponseStatus;
  readonly output: readonly OutputItem[];
  readonly [field: string]: unknown;
}

/** Something the model said, or a call of a tool. */
export type OutputItem =
  | { readonly type: 'message'; readonly content: readonly TextPart[]; readonly [field: string]: unknown }
  | { readonly type: 'function_call'; readonly [field: string]: unknown };

export interface TextPart {
  readonly text: string;
  readonly [field: string]: unknown;
}

export interface ResponseFacts {
  readonly id: string;
  /** Unix seconds. */
  readonly createdAt: number;
  readonly model: string;
  readonly request: ResponsesRequest;
  /** What the answer may have, the context's rest if the client did not say. */
  readonly maxOutputTokens: number;
  /** Prompt and answer as tokens, once the answer is there; null: nobody asked (enable_response_messages). */
  readonly rawMessages: (() => RawMessages) | null;
}

export interface RawMessages {
  readonly promptIds: readonly number[];
  readonly text: string;
  readonly outputIds: readonly number[];
}

/** @param usage null until there is one. */
export function responseObject(
  { id, createdAt, model, request, maxOutputTokens, rawMessages }: ResponseFacts,
  status: ResponseStatus,
  output: readonly OutputItem[],
  usage: Usage | null,
): ResponseObject {
  const raw = usage === null ? null : (rawMessages?.() ?? null);
  const wantsLogprobs = request.include?.includes('message.output_text.logprobs') ?? false;
  return {
    id,
    created_at: createdAt,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: request.instructions ?? null,
    metadata: request.metadata ?? null,
    model,
    object: 'response',
    output,
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    temperature: request.temperature ?? 1,
    tool_choice: toolChoice(request.tool_choice),
    tools: request.tools.map(tool),
    top_p: topP(request),
    background: request.background ?? false,
    max_output_tokens: maxOutputTokens,
    max_tool_calls: request.max_tool_calls ?? null,
    previous_response_id: request.previous_response_id ?? null,
    prompt: null,
    reasoning: request.reasoning ? { ...EMPTY_REASONING, ...request.reasoning } : null,
    service_tier: request.service_tier,
    status,
    text: request.text ? { format: format(request.text.format), verbosity: request.text.verbosity ?? null } : null,
    top_logprobs: wantsLogprobs ? (request.top_logprobs ?? 0) : null,
    truncation: request.truncation,
    usage: usage && usageObject(usage),
    user: request.user ?? null,
    presence_penalty: request.presence_penalty ?? 0,
    frequency_penalty: request.frequency_penalty ?? 0,
    kv_transfer_params: null,
    ec_transfer_params: null,
    input_messages: raw && [rawMessage('', raw.promptIds)],
    output_messages: raw && [rawMessage(raw.text, raw.outputIds)],
  };
}

function rawMessage(message: string, tokens: readonly number[]): unknown {
  return { message, tokens, type: 'raw_message_tokens' };
}

const EMPTY_REASONING = { context: null, effort: null, generate_summary: null, mode: null, summary: null };

/** Greedy sampling looks at one token only, whatever was asked for. */
function topP({ temperature, top_p: asked }: ResponsesRequest): number {
  return temperature === 0 ? 1 : (asked ?? 1);
}

function toolChoice(choice: ResponsesRequest['tool_choice']): unknown {
  return typeof choice === 'object' && choice.type === 'function' ? { name: choice.name, type: 'function' } : choice;
}

function tool(given: ResponsesRequest['tools'][number]): unknown {
  if (given.type !== 'function') return given;
  return {
    name: given.name,
    parameters: given.parameters ?? null,
    strict: given.strict ?? null,
    type: 'function',
    allowed_callers: null,
    defer_loading: null,
    description: given.description ?? null,
    output_schema: null,
  };
}

function format(given: NonNullable<ResponsesRequest['text']>['format']): unknown {
  if (given?.type !== 'json_schema') return given ? { type: given.type } : null;
  const { name, schema, description = null, strict = null } = given;
  return { name, schema, type: 'json_schema', description, strict };
}

function usageObject({ promptTokens, completionTokens, details }: Usage): unknown {
  return {
    input_tokens: promptTokens,
    input_tokens_details: {
      cached_tokens: details?.cachedTokens ?? 0,
      input_tokens_per_turn: [],
      cached_tokens_per_turn: [],
    },
    output_tokens: completionTokens,
    output_tokens_details: {
      reasoning_tokens: 0,
      tool_output_tokens: 0,
      output_tokens_per_turn: [],
      tool_output_tokens_per_turn: [],
    },
    total_tokens: promptTokens + completionTokens,
  };
}

export function message(id: string, content: readonly TextPart[], status = 'completed'): OutputItem {
  return { id, content, role: 'assistant', status, type: 'message', phase: null };
}

export function textPart(text: string, logprobs: readonly unknown[] | null): TextPart {
  return { annotations: [], text, type: 'output_text', logprobs };
}

/** @param given the arguments, JSON. */
export function functionCall(
  id: string,
  callId: string,
  name: string,
  given: string,
  status = 'completed',
): OutputItem {
  return { arguments: given, call_id: callId, name, type: 'function_call', id, caller: null, namespace: null, status };
}

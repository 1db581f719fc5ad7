import { badRequest } from './api-error.js';
import type { JsonObject } from './request-body.js';
import type { ResponseItem, ResponsesRequest } from './responses-request.js';

/** A message of the chat that a request for a response becomes. */
export interface ChatDraft {
  readonly role: string;
  content?: unknown;
  tool_calls?: unknown[];
  readonly tool_call_id?: string;
}

/** The conversation so far, that of earlier responses first; their instructions are left behind. */
export function chatDrafts(
  { instructions, input }: ResponsesRequest,
  earlier: readonly ChatDraft[],
): readonly ChatDraft[] {
  const drafts: ChatDraft[] = [];
  if (instructions) drafts.push({ role: 'system', content: instructions });
  drafts.push(...earlier.filter(({ role }) => role !== 'system'));
  if (typeof input === 'string') drafts.push({ role: 'user', content: input });
  else {
    const added: ChatDraft[] = [];
    for (const item of input) addItem(added, item);
    drafts.push(...added);
  }
  return drafts;
}

/** Calls, reasoning and words that follow each other are one message of the assistant. */
function addItem(drafts: ChatDraft[], item: ResponseItem): void {
  const last = drafts.at(-1);
  const assistant = last?.role === 'assistant' ? last : null;
  switch (item.type) {
    case 'function_call': {
      const call = { id: item.call_id, type: 'function', function: { name: item.name, arguments: item.arguments } };
      if (assistant === null) drafts.push({ role: 'assistant', tool_calls: [call] });
      else assistant.tool_calls = [...(assistant.tool_calls ?? []), call];
      break;
    }
    case 'function_call_output':
      drafts.push({ role: 'tool', content: item.output, tool_call_id: item.call_id });
      break;
    case 'reasoning':
      if (item.encrypted_content) throw badRequest('Encrypted content is not supported.', null);
      if (assistant === null) drafts.push({ role: 'assistant' });
      break;
    default:
      addMessage(drafts, assistant, item);
  }
}

function addMessage(
  drafts: ChatDraft[],
  assistant: ChatDraft | null,
  { role, content }: Extract<ResponseItem, { readonly role: string }>,
): void {
  if (role !== 'assistant') drafts.push({ role, content });
  else {
    const text = typeof content === 'string' ? content : (content[0]?.text ?? '');
    if (assistant !== null && assistant.content === undefined) assistant.content = text;
    else drafts.push({ role, content: text });
  }
}

/** The body of the chat. @param hasParser without one, vLLM neither asks for calls nor reads them. */
export function chatBody(
  body: JsonObject,
  request: ResponsesRequest,
  messages: readonly ChatDraft[],
  hasParser: boolean,
): JsonObject {
  const wantsLogprobs = request.include?.includes('message.output_text.logprobs') ?? false;
  return {
    model: request.model,
    messages,
    max_tokens: request.max_output_tokens,
    temperature: request.temperature,
    top_p: request.top_p,
    top_k: request.top_k,
    presence_penalty: request.presence_penalty,
    frequency_penalty: request.frequency_penalty,
    repetition_penalty: body.repetition_penalty,
    seed: request.seed,
    // An empty one is none to vLLM here.
    stop: request.stop === '' ? undefined : request.stop,
    logit_bias: body.logit_bias,
    include_stop_str_in_output: body.include_stop_str_in_output,
    ignore_eos: request.ignore_eos,
    structured_outputs: body.structured_outputs,
    response_format: responseFormat(request),
    ...(wantsLogprobs ? { logprobs: true, top_logprobs: request.top_logprobs ?? 0 } : {}),
    ...(request.stream ? { stream: true } : {}),
    ...toolFields(request, hasParser),
  };
}

function responseFormat({ text }: ResponsesRequest): unknown {
  const format = text?.format;
  if (format?.type !== 'json_schema') return format ?? undefined;
  return { type: 'json_schema', json_schema: { name: format.name, schema: format.schema } };
}

function toolFields({ tools, tool_choice: choice }: ResponsesRequest, hasParser: boolean): JsonObject {
  const functions = tools.flatMap((tool) =>
    tool.type === 'function'
      ? [
          {
            type: 'function',
            function: { name: tool.name, description: tool.description, parameters: tool.parameters },
          },
        ]
      : [],
  );
  if (functions.length === 0 || choice === 'none') return {};
  if (!hasParser) return { tools: functions, tool_choice: 'none' };
  if (typeof choice === 'string') return { tools: functions, tool_choice: choice };
  const named = choice.type === 'function' ? { type: 'function', function: { name: choice.name } } : 'auto';
  return { tools: functions, tool_choice: named };
}

import { z } from 'zod';
import type { ServedModel } from '../served-model.js';
import { type ApiError, anthropicError } from './api-error.js';
import { booleanField, integerField, mustHold, noneOf, numberField } from './field-schemas.js';
import { type GenerationRequest, parseChatRequest } from './generation-request.js';
import { type JsonObject, parseFields } from './request-body.js';
import { spacedJson } from './schema-instance.js';
import { noToolParser } from './tool-choice.js';

const objectField = z.record(z.string(), z.unknown());
const blockSchema = z.looseObject({
  type: z.enum(['text', 'image', 'tool_use', 'tool_result', 'tool_reference', 'thinking', 'redacted_thinking']),
  text: z.string().nullish(),
  source: objectField.nullish(),
  id: z.string().nullish(),
  tool_use_id: z.string().nullish(),
  name: z.string().nullish(),
  input: objectField.nullish(),
  content: z.union([z.string(), z.array(objectField)], noneOf('str', 'list[dict[str,any]]')).nullish(),
  is_error: booleanField.nullish(),
  tool_name: z.string().nullish(),
  thinking: z.string().nullish(),
  signature: z.string().nullish(),
  data: z.string().nullish(),
});
const blocksField = z.union([z.string(), z.array(blockSchema)], noneOf('str', 'list[AnthropicContentBlock]'));
const conversationFields = {
  messages: z.array(z.looseObject({ role: z.enum(['user', 'assistant', 'system']), content: blocksField })),
};
const modelField = z.string().check(mustHold((model) => model !== '', 'Model is required'));
const sharedFields = {
  system: blocksField.nullish(),
  tool_choice: z
    .looseObject({ type: z.enum(['auto', 'any', 'tool', 'none']), name: z.string().nullish() })
    .check(
      mustHold(
        ({ type, name }) => type !== 'tool' || Boolean(name),
        "tool_choice.name is required when type is 'tool'",
      ),
    )
    .nullish(),
  tools: z
    .array(
      z.looseObject({
        name: z.string(),
        description: z.string().nullish(),
        input_schema: objectField,
        strict: booleanField.nullish(),
      }),
    )
    .nullish(),
};
const countSchema = z.looseObject({ model: modelField, ...conversationFields, ...sharedFields });
const messagesSchema = z.looseObject({
  model: modelField,
  ...conversationFields,
  max_tokens: integerField.pipe(z.number().check(mustHold((count) => count > 0, 'max_tokens must be positive'))),
  metadata: objectField.nullish(),
  kv_transfer_params: objectField.nullish(),
  output_config: z
    .looseObject({
      effort: z.enum(['low', 'medium', 'high', 'xhigh', 'max']).nullish(),
      format: z.looseObject({ schema: objectField.nullish(), type: z.enum(['json_schema']).optional() }).nullish(),
    })
    .nullish(),
  stop_sequences: z.array(z.string()).nullish(),
  stream: booleanField.nullish(),
  ...sharedFields,
  temperature: numberField.nullish(),
  top_k: integerField.nullish(),
  top_p: numberField.nullish(),
});

/** Of the choice of tools, as chats call them. */
const KINDS = { auto: 'auto', any: 'required', tool: 'named', none: 'none' } as const;

type Fields = z.infer<typeof countSchema>;
type Message = Fields['messages'][number];
type Block = z.infer<typeof blockSchema>;

/** Claude Code's attribution, which changes with each request and would defeat the prefix cache. */
const BILLING_HEADER = 'x-anthropic-billing-header';

/** POST /v1/messages, as the chat that vLLM makes of it. @throws ApiError */
export function parseMessagesRequest(body: JsonObject, served: ServedModel): GenerationRequest {
  const fields = parseFields(messagesSchema, body);
  const schema = fields.output_config?.format?.schema;
  return parseChatRequest({
    ...chatOf(fields, served),
    max_completion_tokens: fields.max_tokens,
    stop: fields.stop_sequences,
    temperature: fields.temperature,
    top_p: fields.top_p,
    top_k: fields.top_k,
    ...(schema ? { response_format: { type: 'json_schema', json_schema: { name: 'json_schema', schema } } } : {}),
    ...(fields.stream ? { stream: true, stream_options: { include_usage: true, continuous_usage_stats: true } } : {}),
  });
}

/** POST /v1/messages/count_tokens. @throws ApiError */
export function parseCountRequest(body: JsonObject, served: ServedModel): GenerationRequest {
  return parseChatRequest(chatOf(parseFields(countSchema, body), served));
}

/** An error behind the check of the body: what Python raises there counts as the server's own fault in vLLM 0.26. */
export function wordMessagesError(error: ApiError, isRaised: boolean): ApiError {
  return isRaised
    ? anthropicError(500, 'internal_error', error.message)
    : anthropicError(error.status, error.type, error.message);
}

function chatOf(fields: Fields, served: ServedModel): JsonObject {
  const system = systemText(fields);
  const messages = fields.messages.flatMap(chatMessages);
  const tools = (fields.tools ?? []).map((tool) => ({
    type: 'function',
    function: { name: tool.name, description: tool.description, parameters: tool.input_schema, strict: tool.strict },
  }));
  const choice = fields.tool_choice ?? (tools.length > 0 ? { type: 'auto' as const } : null);
  if (choice?.type === 'tool' && tools.length > 0 && served.options.toolParser) {
    const known = tools.map((tool) => tool.function.name);
    if (!known.includes(choice.name ?? '')) {
      const message = `The tool with name '${choice.name}' is not found in the tools list.`;
      throw anthropicError(500, 'internal_error', message);
    }
  }
  // A chat would refuse a choice without tools, or of a tool that it does not have.
  if (choice !== null && choice.type !== 'none' && !served.options.toolParser) {
    throw wordMessagesError(noToolParser(KINDS[choice.type], choice.name ?? null), false);
  }
  return {
    model: fields.model,
    messages: system === '' ? messages : [{ role: 'system', content: system }, ...messages],
    ...(choice !== null && tools.length > 0 ? { tools, tool_choice: chatToolChoice(choice) } : {}),
  };
}

function chatToolChoice({ type, name }: NonNullable<Fields['tool_choice']>): unknown {
  if (type === 'any') return 'required';
  return type === 'tool' ? { type: 'function', function: { name } } : type;
}

/** The system prompt, and behind it what the conversation has of system messages: the chat template wants them first. */
function systemText({ system, messages }: Fields): string {
  const later = messages.filter(({ role }) => role === 'system').map(({ content }) => content);
  return [system ?? '', ...later]
    .flatMap(texts)
    .filter((text) => !text.startsWith(BILLING_HEADER))
    .join('');
}

function texts(content: Message['content']): readonly string[] {
  if (typeof content === 'string') return [content];
  return content.flatMap((block) => (block.type === 'text' && block.text ? [block.text] : []));
}

/** Results of tools are messages of their own, before the rest of theirs. */
function chatMessages({ role, content }: Message): readonly unknown[] {
  if (role === 'system') return [];
  if (typeof content === 'string') return [{ role, content }];
  const parts: unknown[] = [];
  const calls: unknown[] = [];
  const results: unknown[] = [];
  for (const block of content) {
    if (block.type === 'text' && block.text) parts.push({ type: 'text', text: block.text });
    else if (block.type === 'image') parts.push({ type: 'image_url' });
    else if (block.type === 'tool_use') calls.push(chatCall(block));
    else if (block.type === 'tool_result' && role === 'user') results.push(...toolMessages(block));
    else if (block.type === 'tool_result') parts.push({ type: 'text', text: `Tool result: ${resultText(block)}` });
  }
  if (parts.length === 0 && role === 'user') return results;
  const message = {
    role,
    ...(parts.length > 0 ? { content: parts } : {}),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
  return [...results, message];
}

function chatCall({ id, name, input }: Block): unknown {
  return { id: id ?? '', type: 'function', function: { name: name ?? '', arguments: spacedJson(input ?? {}) } };
}

function toolMessages(block: Block): readonly unknown[] {
  const content = typeof block.content === 'string' ? [] : (block.content ?? []);
  const images = content.filter(({ type }) => type === 'image').map(() => ({ type: 'image_url' }));
  const result = { role: 'tool', tool_call_id: block.tool_use_id ?? '', content: resultText(block) };
  return images.length === 0 ? [result] : [result, { role: 'user', content: images }];
}

function resultText({ content }: Block): string {
  if (typeof content === 'string') return content;
  return (content ?? [])
    .flatMap(({ type, text }) => (type === 'text' && typeof text === 'string' ? [text] : []))
    .join('\n');
}

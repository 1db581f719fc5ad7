import { z } from 'zod';
import type { ChatMessage } from '../contracts.js';
import { type AnswerShape, parseAnswerShape } from './answer-shape.js';
import { badRequest, badValue, bodyError, valueError } from './api-error.js';
import { booleanField, integerField, numberField } from './field-schemas.js';
import { checkCacheSalt, checkLogprobs, checkStreamOptions, isEmptyList, readArguments } from './generation-checks.js';
import type { LogprobsWanted } from './logprobs-format.js';
import { checkMessages } from './message-checks.js';
import { schemaInPrompt } from './prompt-schema.js';
import { type JsonObject, parseFields } from './request-body.js';
import { CHAT_FIELDS, COMPLETION_FIELDS, checkFields } from './request-fields.js';
import { chooseCall, parseToolChoice, plainMessages, type ToolCallForm, type ToolChoice } from './tool-choice.js';

/** What every endpoint of OpenAI's takes. */
export const samplingFields = {
  model: z.string().nullish(),
  n: integerField.nullish(),
  temperature: numberField.nullish(),
  top_p: numberField.nullish(),
  seed: integerField.nullish(),
  stop: z.union([z.string(), z.array(z.string())]).nullish(),
  include_stop_str_in_output: booleanField.nullish(),
  min_tokens: integerField.nullish(),
  top_k: integerField.nullish(),
  min_p: numberField.nullish(),
  presence_penalty: numberField.nullish(),
  frequency_penalty: numberField.nullish(),
  repetition_penalty: numberField.nullish(),
  ignore_eos: booleanField.nullish(),
  stream: booleanField.nullish(),
  stream_options: z
    .looseObject({ include_usage: booleanField.nullish(), continuous_usage_stats: booleanField.nullish() })
    .nullish(),
  return_token_ids: booleanField.nullish(),
  prompt_logprobs: integerField.nullish(),
  add_special_tokens: booleanField.nullish(),
  truncate_prompt_tokens: integerField.nullish(),
  truncation_side: z.enum(['left', 'right']).nullish(),
};

/** What COMPLETION_FIELDS lets pass; where there is a number, all are ids, however they are written. */
type CheckedPrompt = string | readonly (string | number | boolean | readonly number[])[];

const completionSchema = z.looseObject({
  ...samplingFields,
  // Looked at once is enough for what may be tens of thousands of ids.
  prompt: z.custom<CheckedPrompt>(),
  max_tokens: integerField.nullish(),
  logprobs: integerField.nullish(),
  echo: booleanField.nullish(),
  suffix: z.string().nullish(),
});

const chatSchema = z.looseObject({
  ...samplingFields,
  messages: z.array(
    z.looseObject({
      role: z.string(),
      content: z
        .union([z.string(), z.array(z.looseObject({ type: z.string(), text: z.string().optional() }))])
        .nullish(),
      tool_calls: z
        .array(z.looseObject({ function: z.looseObject({ name: z.string(), arguments: z.unknown().optional() }) }))
        .nullish(),
    }),
  ),
  max_tokens: integerField.nullish(),
  max_completion_tokens: integerField.nullish(),
  logprobs: booleanField.nullish(),
  top_logprobs: integerField.nullish(),
  add_generation_prompt: booleanField.nullish(),
});

export type PromptInput =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'ids'; readonly ids: readonly number[] }
  | { readonly kind: 'chat'; readonly messages: readonly ChatMessage[] };

/** A request for text, checked, in the terms both endpoints share. */
export interface GenerationRequest {
  readonly endpoint: 'completion' | 'chat';
  /** Who speaks in the answer: the last message's author where no turn of the assistant is opened. */
  readonly role: string;
  /** null: whatever is served. */
  readonly model: string | null;
  readonly prompts: readonly PromptInput[];
  readonly addSpecialTokens: boolean;
  readonly n: number;
  /** null: as far as the model's context goes. */
  readonly maxTokens: number | null;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly temperature: number;
  readonly seed: number | null;
  readonly stop: readonly string[];
  readonly includeStop: boolean;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly continuousUsage: boolean;
  readonly echo: boolean;
  /** The answer is the prompt alone (echo with max_tokens 0). */
  readonly echoOnly: boolean;
  readonly logprobs: LogprobsWanted;
  readonly returnTokenIds: boolean;
  /** What the text has to be; null: free. */
  readonly shape: AnswerShape | null;
  readonly toolChoice: ToolChoice;
  /** The tool call that the answer is; null: text. */
  readonly call: ToolCallForm | null;
  /** Messages hold images, sound or video. */
  readonly hasMedia: boolean;
  /** What it was read from, in the terms of OpenAI's endpoints. */
  readonly body: JsonObject;
  /** What is left of a prompt that is longer; -1 tokens: what the context takes. null: it is not cut. */
  readonly truncation: { readonly tokens: number; readonly side: 'left' | 'right' } | null;
  /** How the client called the tokens it wants at most. */
  readonly maxTokensName: 'max_tokens' | 'max_completion_tokens' | 'max_output_tokens';
}

/** vLLM's names of content parts that are no text. */
const MEDIA_PARTS = new Set([
  'input_image',
  'image_url',
  'image_embeds',
  'image_pil',
  'audio_embeds',
  'audio_url',
  'input_audio',
  'video_embeds',
  'video_url',
]);
const CONTINUED = 'Cannot set both `continue_final_message` and `add_generation_prompt` to True.';
const FENCE = '```json';
const NO_TOOLS: ToolChoice = { tools: [], kind: 'none', name: null };

const DEFAULT_COMPLETION_TOKENS = 16;

/** /v1/completions. @throws ApiError */
export function parseCompletionRequest(body: JsonObject): GenerationRequest {
  checkCacheSalt(body);
  const { prompt = null } = body;
  const hasEmbeds = (body.prompt_embeds ?? null) !== null && !isEmptyList(body.prompt_embeds);
  if ((prompt === null || prompt === '') && !hasEmbeds) {
    throw valueError('Either prompt or prompt_embeds must be provided and non-empty.', 'prompt', body);
  }
  checkStreamOptions(body);
  checkLogprobs(body, 'logprobs');
  checkFields(COMPLETION_FIELDS, body);
  if (hasEmbeds)
    throw badValue('You must set `--enable-prompt-embeds` to input `prompt_embeds`.', 'prompt_embeds', null);
  if (isEmptyList(prompt)) throw badRequest('You must pass at least one prompt', null);
  const fields = parseFields(completionSchema, body);
  if ((fields.suffix ?? null) !== null) throw badRequest('suffix is not currently supported', null);
  const echo = fields.echo ?? false;
  const echoOnly = echo && fields.max_tokens === 0;
  const logprobs = fields.logprobs ?? null;
  return {
    endpoint: 'completion',
    role: 'assistant',
    prompts: promptsOf(fields.prompt),
    ...sampling(fields),
    addSpecialTokens: fields.add_special_tokens ?? true,
    maxTokens: echoOnly ? 1 : (fields.max_tokens ?? DEFAULT_COMPLETION_TOKENS),
    echo,
    echoOnly,
    logprobs: { generated: logprobs, prompt: fields.prompt_logprobs ?? (echo ? logprobs : null) },
    shape: parseAnswerShape(body),
    toolChoice: NO_TOOLS,
    call: null,
    hasMedia: false,
    body,
    maxTokensName: 'max_tokens',
  };
}

/** /v1/chat/completions. @throws ApiError */
export function parseChatRequest(body: JsonObject): GenerationRequest {
  checkCacheSalt(body);
  if (body.continue_final_message && body.add_generation_prompt) {
    throw bodyError(CONTINUED, body, 'VLLMValidationError');
  }
  const toolChoice = parseToolChoice(body);
  checkStreamOptions(body);
  checkLogprobs(body, 'top_logprobs');
  checkFields(CHAT_FIELDS, body);
  const given = parseAnswerShape(body);
  checkMessages(body.messages);
  const fields = parseFields(chatSchema, body);
  const messages = fields.messages.map(({ role, content, tool_calls: calls }) => ({
    role,
    content: plainText(content),
    calls: (calls ?? []).map((call) => ({
      name: call.function.name,
      arguments: readArguments(call.function.arguments),
    })),
  }));
  const roles = messages.map(({ role }) => role);
  const asked = asPromptSays(given, body, messages);
  const call = chooseCall(toolChoice, roles, asked);
  const parts = fields.messages.flatMap(({ content }) => (Array.isArray(content) ? content : []));
  const lastRole = fields.add_generation_prompt === false ? roles.at(-1) : undefined;
  return {
    endpoint: 'chat',
    role: lastRole ?? 'assistant',
    prompts: [{ kind: 'chat', messages: plainMessages(messages, toolChoice.tools) }],
    ...sampling(fields),
    addSpecialTokens: false,
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens ?? null,
    echo: false,
    echoOnly: false,
    logprobs: {
      generated: fields.logprobs === true ? (fields.top_logprobs ?? 0) : null,
      prompt: fields.prompt_logprobs ?? null,
    },
    shape: call === null ? asked : callShape(call),
    toolChoice,
    call,
    hasMedia: parts.some(({ type }) => MEDIA_PARTS.has(type)),
    body,
    maxTokensName: typeof fields.max_completion_tokens === 'number' ? 'max_completion_tokens' : 'max_tokens',
  };
}

/**
 * A model that has to write any object writes the one that its prompt describes; so does one that is free, where the last
 * message wants it in a code block, as an instructed model obeys.
 */
function asPromptSays(
  shape: AnswerShape | null,
  { response_format: format }: JsonObject,
  messages: readonly ChatMessage[],
): AnswerShape | null {
  if (shape === null && messages.at(-1)?.content.includes(FENCE)) {
    const schema = schemaInPrompt(messages.map(({ content }) => content));
    return schema === null ? null : { kind: 'json', schema, before: `${FENCE}\n`, after: '\n```' };
  }
  const isAnyObject = typeof format === 'object' && format !== null && Reflect.get(format, 'type') === 'json_object';
  if (!isAnyObject || shape?.kind !== 'json') return shape;
  return { ...shape, schema: schemaInPrompt(messages.map(({ content }) => content)) ?? shape.schema };
}

function promptsOf(prompt: CheckedPrompt): PromptInput[] {
  if (typeof prompt === 'string') return [{ kind: 'text', text: prompt }];
  const [first] = prompt;
  if (typeof first === 'number' || prompt.some((item) => typeof item === 'number' || typeof item === 'boolean')) {
    return [{ kind: 'ids', ids: prompt.map(Number) }];
  }
  return prompt.map((item) =>
    typeof item === 'object' ? { kind: 'ids', ids: item } : { kind: 'text', text: String(item) },
  );
}

type SamplingFields = z.infer<z.ZodObject<typeof samplingFields>>;

function sampling(
  fields: SamplingFields,
): Omit<
  GenerationRequest,
  | 'endpoint'
  | 'role'
  | 'prompts'
  | 'addSpecialTokens'
  | 'maxTokens'
  | 'echo'
  | 'echoOnly'
  | 'logprobs'
  | 'shape'
  | 'toolChoice'
  | 'call'
  | 'hasMedia'
  | 'body'
  | 'maxTokensName'
> {
  const { stop } = fields;
  return {
    model: fields.model ?? null,
    n: fields.n ?? 1,
    minTokens: fields.min_tokens ?? 0,
    ignoreEos: fields.ignore_eos ?? false,
    temperature: fields.temperature ?? 1,
    seed: fields.seed ?? null,
    truncation: truncationOf(fields),
    stop: (typeof stop === 'string' ? [stop] : (stop ?? [])).filter((text) => text !== ''),
    includeStop: fields.include_stop_str_in_output ?? false,
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    continuousUsage: (fields.stream_options?.include_usage && fields.stream_options.continuous_usage_stats) ?? false,
    returnTokenIds: fields.return_token_ids ?? false,
  };
}

function truncationOf({ truncate_prompt_tokens: tokens, truncation_side: side }: SamplingFields) {
  return typeof tokens === 'number' ? { tokens, side: side ?? 'left' } : null;
}

function callShape({ parameters, before, after }: ToolCallForm): AnswerShape {
  return { kind: 'json', schema: parameters, before, after };
}

function plainText(content: z.infer<typeof chatSchema>['messages'][number]['content']): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map((part) => part.text ?? '').join('\n');
}

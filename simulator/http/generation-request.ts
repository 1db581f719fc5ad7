import { z } from 'zod';
import type { ChatMessage } from '../contracts.js';
import { badRequest, badValue, valueError } from './api-error.js';
import { booleanField, integerField, numberField, tokenIdsField } from './field-schemas.js';
import { type JsonObject, parseFields } from './request-body.js';

const samplingFields = {
  model: z.string().nullish(),
  n: integerField.nullish(),
  temperature: numberField.nullish(),
  top_p: numberField.nullish(),
  seed: integerField.nullish(),
  stop: z.union([z.string(), z.array(z.string())]).nullish(),
  include_stop_str_in_output: booleanField.nullish(),
  min_tokens: integerField.nullish(),
  ignore_eos: booleanField.nullish(),
  stream: booleanField.nullish(),
  stream_options: z
    .looseObject({ include_usage: booleanField.nullish(), continuous_usage_stats: booleanField.nullish() })
    .nullish(),
  return_token_ids: booleanField.nullish(),
  prompt_logprobs: integerField.nullish(),
  add_special_tokens: booleanField.nullish(),
};

const completionSchema = z.looseObject({
  ...samplingFields,
  prompt: z.union([z.string(), tokenIdsField, z.array(z.string()), z.array(tokenIdsField)]),
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
    }),
  ),
  max_tokens: integerField.nullish(),
  max_completion_tokens: integerField.nullish(),
  logprobs: booleanField.nullish(),
  top_logprobs: integerField.nullish(),
});

export type PromptInput =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'ids'; readonly ids: readonly number[] }
  | { readonly kind: 'chat'; readonly messages: readonly ChatMessage[] };

/** A request for text, checked, in the terms both endpoints share. */
export interface GenerationRequest {
  readonly endpoint: 'completion' | 'chat';
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
  readonly returnTokenIds: boolean;
}

/** vLLM's limit of --max-logprobs. */
const MAX_LOGPROBS = 20;
const DEFAULT_COMPLETION_TOKENS = 16;

/** /v1/completions. @throws ApiError */
export function parseCompletionRequest(body: JsonObject): GenerationRequest {
  checkStreamOptions(body);
  const { prompt } = body;
  const empty =
    prompt === undefined || prompt === null || prompt === '' || (Array.isArray(prompt) && prompt.length === 0);
  if (empty) throw valueError('Either prompt or prompt_embeds must be provided and non-empty.', 'prompt', body);
  const fields = parseFields(completionSchema, body);
  if (fields.suffix) throw badRequest('suffix is not currently supported', 'suffix');
  return {
    endpoint: 'completion',
    prompts: promptsOf(fields.prompt),
    ...sampling(fields),
    addSpecialTokens: fields.add_special_tokens ?? true,
    maxTokens: fields.max_tokens ?? DEFAULT_COMPLETION_TOKENS,
    echo: fields.echo ?? false,
  };
}

/** /v1/chat/completions. @throws ApiError */
export function parseChatRequest(body: JsonObject): GenerationRequest {
  checkStreamOptions(body);
  const fields = parseFields(chatSchema, body);
  return {
    endpoint: 'chat',
    prompts: [
      { kind: 'chat', messages: fields.messages.map(({ role, content }) => ({ role, content: plainText(content) })) },
    ],
    ...sampling(fields),
    addSpecialTokens: false,
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens ?? null,
    echo: false,
  };
}

/**
 * Values that parse but are refused, in the order in which vLLM looks at them once the model is known to exist.
 * @throws ApiError
 */
export function checkSampling(body: JsonObject): void {
  const numberOf = (name: string): number | null => {
    const value = body[name];
    return typeof value === 'number' ? value : null;
  };
  const n = numberOf('n');
  if (n !== null && n < 1) throw badValue(`n must be at least 1, got ${n}.`, 'n', n);
  const temperature = numberOf('temperature');
  if (temperature !== null && temperature < 0) {
    const shown = Number.isInteger(temperature) ? `${temperature}.0` : String(temperature);
    throw badValue(`temperature must be non-negative, got ${shown}.`, 'temperature', temperature, true);
  }
  const topP = numberOf('top_p');
  if (topP !== null && !(topP > 0 && topP <= 1))
    throw badValue(`top_p must be in (0, 1], got ${topP}.`, 'top_p', topP, true);
  for (const name of ['max_tokens', 'max_completion_tokens']) {
    const limit = numberOf(name);
    if (limit !== null && limit < 1)
      throw badValue(`max_tokens must be at least 1, got ${limit}.`, 'max_tokens', limit);
  }
  checkLogprobs(numberOf('top_logprobs') ?? numberOf('logprobs'), body.logprobs === true, 'sample', 'logprobs');
  checkLogprobs(numberOf('prompt_logprobs'), false, 'prompt', 'prompt_logprobs');
}

function checkLogprobs(count: number | null, wanted: boolean, what: string, parameter: string): void {
  if (count !== null && count > MAX_LOGPROBS) {
    throw badValue(
      `Requested ${what} logprobs of ${count}, which is greater than max allowed: ${MAX_LOGPROBS}`,
      parameter,
      count,
    );
  }
  if (count !== null || wanted) {
    throw badValue('The simulator has no log probabilities: its text comes from no model.', parameter, count);
  }
}

function checkStreamOptions(body: JsonObject): void {
  if (body.stream_options && !body.stream) {
    throw valueError('Stream options can only be defined when `stream=True`.', 'stream_options', body);
  }
}

function promptsOf(prompt: z.infer<typeof completionSchema>['prompt']): PromptInput[] {
  if (typeof prompt === 'string') return [{ kind: 'text', text: prompt }];
  const ids: number[] = [];
  const prompts: PromptInput[] = [];
  for (const item of prompt) {
    if (typeof item === 'number') ids.push(item);
    else if (typeof item === 'string') prompts.push({ kind: 'text', text: item });
    else prompts.push({ kind: 'ids', ids: item });
  }
  return prompts.length > 0 ? prompts : [{ kind: 'ids', ids }];
}

type SamplingFields = z.infer<z.ZodObject<typeof samplingFields>>;

function sampling(
  fields: SamplingFields,
): Omit<GenerationRequest, 'endpoint' | 'prompts' | 'addSpecialTokens' | 'maxTokens' | 'echo'> {
  const { stop } = fields;
  return {
    model: fields.model ?? null,
    n: fields.n ?? 1,
    minTokens: fields.min_tokens ?? 0,
    ignoreEos: fields.ignore_eos ?? false,
    temperature: fields.temperature ?? 1,
    seed: fields.seed ?? null,
    stop: (typeof stop === 'string' ? [stop] : (stop ?? [])).filter((text) => text !== ''),
    includeStop: fields.include_stop_str_in_output ?? false,
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    continuousUsage: fields.stream_options?.continuous_usage_stats ?? false,
    returnTokenIds: fields.return_token_ids ?? false,
  };
}

function plainText(content: z.infer<typeof chatSchema>['messages'][number]['content']): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map((part) => part.text ?? '').join('\n');
}

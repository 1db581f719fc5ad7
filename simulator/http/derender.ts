import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import type { ServedModel } from '../served-model.js';
import { type FinishedChoice, OpenAiFormat, type Usage } from './answer-format.js';
import { badRequest, bodyError, schemaError } from './api-error.js';
import { integerField, numberField } from './field-schemas.js';
import { checkModel } from './generate.js';
import { parseChatRequest } from './generation-request.js';
import type { CompletionLogprobs } from './logprobs-format.js';
import { isJsonObject } from './pydantic-report.js';
import { type JsonObject, parseFields, parseObject, readBody } from './request-body.js';
import type { Handler } from './routing.js';
import { MAX_LOGPROBS, MAX_SEQUENCES } from './sampling-checks.js';
import { ToolCallReader } from './tool-call-reader.js';

type Methods = Readonly<Record<string, Handler>>;

const namedTokenSchema = z.looseObject({ token: z.string(), logprob: numberField.default(-9999) });
const logprobsSchema = z.looseObject({
  content: z.array(namedTokenSchema.extend({ top_logprobs: z.array(namedTokenSchema).default([]) })).nullish(),
});
const responseSchema = z.looseObject({
  request_id: z.string().optional(),
  choices: z.array(
    z.looseObject({
      index: integerField,
      finish_reason: z.string().nullish(),
      token_ids: z.array(integerField).nullish(),
      logprobs: logprobsSchema.nullish(),
    }),
  ),
  prompt_logprobs: z.array(z.unknown()).nullish(),
  kv_transfer_params: z.unknown().optional(),
});
const chatSchema = z.looseObject({
  model: z.string(),
  generate_response: responseSchema,
  prompt_tokens: integerField.nullish(),
});
const completionSchema = z.looseObject({
  model: z.string(),
  generate_responses: z.array(responseSchema),
  prompt_tokens: z.array(integerField).nullish(),
});

type Generated = z.infer<typeof responseSchema>;
type Logprobs = z.infer<typeof logprobsSchema>;

/** POST /v1/chat/completions/derender: the chat's answer that an engine's token ids stand for. */
export function derenderChat(served: ServedModel): Methods {
  return {
    POST: async (http, reply) => {
      const body = await bodyOf(http);
      const { model, generate_response: response, prompt_tokens: prompt } = parseFields(chatSchema, body);
      refuseNegative(response, ['generate_response']);
      checkModel(served, model);
      checkBounds(served, [response]);
      const choices = response.choices.map((choice) => {
        const ids = tokensOf(choice, '');
        const { content, calls } = spoken(served, ids, body.chat_request);
        return { ...finished(choice, content), calls, logprobs: resolved(served, choice.logprobs ?? null) };
      });
      const usage = usageOf(prompt ?? 0, [response]);
      reply.json({
        ...answer('chat', model, response, choices, usage),
        prompt_logprobs: response.prompt_logprobs ?? null,
        kv_transfer_params: response.kv_transfer_params ?? null,
      });
    },
  };
}

/** POST /v1/completions/derender: one answer out of those to each prompt. */
export function derenderCompletion(served: ServedModel): Methods {
  return {
    POST: async (http, reply) => {
      const body = await bodyOf(http);
      const fields = parseFields(completionSchema, body);
      const { model, generate_responses: responses, prompt_tokens: prompts } = fields;
      for (const [index, response] of responses.entries()) refuseNegative(response, ['generate_responses', index]);
      if (prompts && prompts.length !== responses.length) {
        const counts = `prompt_tokens length (${prompts.length}) must equal generate_responses length (${responses.length})`;
        throw bodyError(counts, body);
      }
      checkModel(served, model);
      const [first] = responses;
      if (first === undefined) throw badRequest('generate_responses must not be empty', null);
      checkBounds(served, responses);
      const choices = responses
        .flatMap((response) => response.choices.map((choice) => ({ choice, response })))
        .map(({ choice, response }, index) => {
          const ids = tokensOf(choice, ` in response ${response.request_id}`);
          const text = served.tokenizer.decode(ids, { skipSpecialTokens: true });
          const logprobs = choice.logprobs ? asCompletion(resolved(served, choice.logprobs)) : null;
          return { ...finished(choice, text), index, logprobs };
        });
      const usage = usageOf(
        (prompts ?? []).reduce((sum, count) => sum + count, 0),
        responses,
      );
      const params = first.kv_transfer_params ?? null;
      const areSame = responses.every(
        (one) => JSON.stringify(one.kv_transfer_params ?? null) === JSON.stringify(params),
      );
      reply.json({
        ...answer('completion', model, first, choices, usage),
        kv_transfer_params: areSame ? params : null,
      });
    },
  };
}

async function bodyOf(http: IncomingMessage): Promise<JsonObject> {
  return parseObject(http, await readBody(http));
}

/** @throws ApiError 400 */
function refuseNegative({ choices }: Generated, place: readonly (string | number)[]): void {
  for (const [index, { token_ids: ids }] of choices.entries()) {
    if (!ids?.some((id) => id < 0)) continue;
    const text = 'token_ids must not contain negative values';
    throw schemaError([
      {
        type: 'value_error',
        location: ['body', ...place, 'choices', index, 'token_ids'],
        message: `Value error, ${text}`,
        input: ids,
        context: `{'error': ValueError('${text}')}`,
      },
    ]);
  }
}

/** Before anything is decoded. @throws ApiError 400 */
function checkBounds({ maxModelLen }: ServedModel, responses: readonly Generated[]): void {
  const refuseIf = (isBeyond: boolean, text: string): void => {
    if (isBeyond) throw badRequest(text, null);
  };
  refuseIf(
    responses.length > MAX_SEQUENCES,
    `generate_responses count (${responses.length}) exceeds server maximum (${MAX_SEQUENCES}). Set VLLM_MAX_N_SEQUENCES to increase this limit.`,
  );
  for (const { choices, request_id: id, prompt_logprobs: ofPrompt } of responses) {
    refuseIf(
      choices.length > MAX_SEQUENCES,
      `choices count (${choices.length}) in response '${id}' exceeds server maximum (${MAX_SEQUENCES}).`,
    );
    for (const { index, token_ids: ids, logprobs } of choices) {
      const tokens = ids?.length ?? 0;
      const place = `in choice ${index} exceeds max_model_len (${maxModelLen}).`;
      refuseIf(tokens > maxModelLen, `token_ids length (${tokens}) ${place}`);
      const content = logprobs?.content ?? [];
      refuseIf(content.length > maxModelLen, `logprobs.content length (${content.length}) ${place}`);
      const most = Math.max(0, ...content.map((entry) => entry.top_logprobs.length));
      refuseIf(
        most > MAX_LOGPROBS,
        `top_logprobs count (${most}) in choice ${index} exceeds max_logprobs (${MAX_LOGPROBS}).`,
      );
    }
    const count = ofPrompt?.length ?? 0;
    refuseIf(
      count > maxModelLen,
      `prompt_logprobs length (${count}) in response '${id}' exceeds max_model_len (${maxModelLen}).`,
    );
  }
}

/** @throws ApiError 400 */
function tokensOf({ index, token_ids: ids }: Generated['choices'][number], place: string): readonly number[] {
  if (ids && ids.length > 0) return ids;
  throw badRequest(`choice ${index}${place} has empty or null token_ids`, null);
}

/** With the chat's own request, a server that reads tool calls reads them here too. */
function spoken(
  { tokenizer, options }: ServedModel,
  ids: readonly number[],
  chatRequest: unknown,
): Pick<ReturnType<ToolCallReader['whole']>, 'content' | 'calls'> {
  const call = options.toolParser && isJsonObject(chatRequest) ? parseChatRequest(chatRequest).call : null;
  if (call === null) return { content: tokenizer.decode(ids, { skipSpecialTokens: true }), calls: [] };
  const reader = new ToolCallReader(call);
  reader.push(tokenizer.decode(ids, { skipSpecialTokens: false }));
  return reader.whole();
}

function finished(choice: Generated['choices'][number], text: string | null): FinishedChoice {
  return {
    index: choice.index,
    text,
    calls: [],
    endsAsCall: choice.finish_reason === 'tool_calls',
    finishReason: reasonOf(choice.finish_reason),
    stopReason: null,
    tokenIds: null,
    promptTokenIds: null,
    logprobs: null,
    promptLogprobs: null,
  };
}

const REASONS = ['stop', 'length', 'abort', 'error'] as const;

function reasonOf(told: string | null | undefined): FinishedChoice['finishReason'] {
  return REASONS.find((reason) => reason === told) ?? 'stop';
}

function answer(
  endpoint: 'chat' | 'completion',
  model: string,
  { request_id: id }: Generated,
  choices: readonly FinishedChoice[],
  usage: Usage,
): JsonObject {
  const head = {
    endpoint,
    role: 'assistant',
    id: id ?? randomBytes(16).toString('hex'),
    created: Math.floor(Date.now() / 1000),
    model,
    fingerprint: '',
  };
  const body: unknown = JSON.parse(new OpenAiFormat(head).body(choices, usage));
  return { ...(isJsonObject(body) ? body : {}), system_fingerprint: null };
}

function usageOf(promptTokens: number, responses: readonly Generated[]): Usage {
  const counts = responses.flatMap(({ choices }) => choices.map(({ token_ids: ids }) => ids?.length ?? 0));
  return { promptTokens, completionTokens: counts.reduce((sum, count) => sum + count, 0), details: null };
}

/** Names like `token_id:5` become the tokens that they stand for. */
function resolved(served: ServedModel, logprobs: Logprobs | null) {
  if (logprobs === null) return null;
  const shown = ({ token, logprob }: z.infer<typeof namedTokenSchema>) => {
    const id = /^token_id:(\d+)$/.exec(token)?.[1];
    const text = id === undefined ? token : served.tokenizer.tokenText(Number(id));
    return { token: text, logprob, bytes: [...Buffer.from(text)] };
  };
  return {
    content:
      logprobs.content?.map((entry) => ({ ...shown(entry), top_logprobs: entry.top_logprobs.map(shown) })) ?? null,
  };
}

function asCompletion(logprobs: ReturnType<typeof resolved>): CompletionLogprobs {
  const content = logprobs?.content ?? [];
  let offset = 0;
  return {
    text_offset: content.map(({ token }) => {
      const start = offset;
      offset += token.length;
      return start;
    }),
    token_logprobs: content.map(({ logprob }) => logprob),
    tokens: content.map(({ token }) => token),
    top_logprobs: content.map(({ top_logprobs: top }) =>
      top.length === 0 ? null : Object.fromEntries(top.map(({ token, logprob }) => [token, logprob])),
    ),
  };
}

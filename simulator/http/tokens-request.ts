import { z } from 'zod';
import { ApiError, badRequest, type SchemaProblem, schemaError } from './api-error.js';
import type { Dialect } from './dialect.js';
import { booleanField, integerField, numberField, tokenIdsField } from './field-schemas.js';
import { type GenerationRequest, parseCompletionRequest } from './generation-request.js';
import { isJsonObject } from './pydantic-report.js';
import { pythonRepr, pythonType } from './python-text.js';
import { type JsonObject, parseFields } from './request-body.js';
import { checkSampling } from './sampling-checks.js';
import { TokensFormat } from './tokens-format.js';

const requestSchema = z.looseObject({
  request_id: z.string().nullish(),
  model: z.string().nullish(),
  stream: booleanField.nullish(),
  stream_options: z
    .looseObject({ include_usage: booleanField.nullish(), continuous_usage_stats: booleanField.nullish() })
    .nullish(),
});
/** Looked at one by one only where something is wrong with them: there may be tens of thousands. */
const idsSchema = z.looseObject({ token_ids: z.array(integerField) });
/** Where a problem of the sampling parameters stands: pydantic tries an instance first, then an object. */
const AS_INSTANCE = 'is-instance[SamplingParams]';
const AS_OBJECT = 'function-after[_validate_msgspec(), typed-dict]';
const NUMBERS = {
  n: integerField,
  max_tokens: integerField,
  min_tokens: integerField,
  top_k: integerField,
  seed: integerField,
  logprobs: integerField,
  prompt_logprobs: integerField,
  temperature: numberField,
  top_p: numberField,
  min_p: numberField,
  presence_penalty: numberField,
  frequency_penalty: numberField,
  repetition_penalty: numberField,
} as const;

interface Fields extends Pick<z.infer<typeof requestSchema>, 'request_id' | 'model' | 'stream' | 'stream_options'> {
  readonly tokenIds: readonly number[];
}

/** /inference/v1/generate: token ids in, token ids out, by the engine behind a front end that runs elsewhere. @throws ApiError */
export const tokensDialect: Dialect = (body, { options, profile, maxModelLen, tokenizer }) => {
  const fields = readFields(body);
  const params = samplingParams(body, tokenizer.vocabSize);
  const request = requestOf(params, fields, maxModelLen);
  const mostSequences = options.maxNumSeqs ?? profile.maxNumSeqs;
  if (request.n > mostSequences) {
    const text = `sampling_params.n must be at most the server's max_num_seqs (${mostSequences}), got ${request.n}.`;
    throw badRequest(text, null);
  }
  const { logprobs } = params;
  return {
    request,
    answerId: (requestId) => `generate-tokens-${fields.request_id ?? requestId}`,
    format: (head, sequences) =>
      new TokensFormat(head, sequences, {
        logprobs: typeof logprobs === 'number' ? logprobs : null,
        greedy: request.temperature === 0,
        vocabularySize: tokenizer.vocabSize,
      }),
    tellsCachedTokens: options.promptTokensDetails,
    wordError: (error) => error,
    runInBackground: null,
  };
};

function readFields(body: JsonObject): Fields {
  const given = body.token_ids;
  const location = ['body', 'token_ids'];
  if (Array.isArray(given) && given.length === 0) {
    const message = 'List should have at least 1 item after validation, not 0';
    const context = "{'field_type': 'List', 'min_length': 1, 'actual_length': 0}";
    throw schemaError([{ type: 'too_short', location, message, input: given, context }, ...missingParams(body)]);
  }
  if (given === undefined) {
    throw schemaError([{ type: 'missing', location, message: 'Field required', input: body }, ...missingParams(body)]);
  }
  if (!Array.isArray(given)) {
    const problem = { type: 'list_type', location, message: 'Input should be a valid list', input: given };
    throw schemaError([problem, ...missingParams(body)]);
  }
  const [missing] = missingParams(body);
  if (missing !== undefined) throw schemaError([missing]);
  const fields = parseFields(requestSchema, body);
  const tokenIds = tokenIdsField.safeParse(given).data ?? parseFields(idsSchema, body).token_ids;
  if (tokenIds.some((id) => id < 0)) {
    const text = 'token_ids must not contain negative values';
    const context = `{'error': ValueError('${text}')}`;
    throw schemaError([{ type: 'value_error', location, message: `Value error, ${text}`, input: given, context }]);
  }
  return { ...fields, tokenIds };
}

function missingParams(body: JsonObject): readonly SchemaProblem[] {
  if (body.sampling_params !== undefined) return [];
  return [{ type: 'missing', location: ['body', 'sampling_params'], message: 'Field required', input: body }];
}

/** @throws ApiError 400 as pydantic words it, which tries two readings of the parameters */
function samplingParams(body: JsonObject, vocabularySize: number): JsonObject {
  const given = body.sampling_params;
  const location = ['body', 'sampling_params'];
  const refuse = (problem: Omit<SchemaProblem, 'location'>, place: readonly string[] = [], parameter?: string) =>
    schemaError(
      [
        {
          type: 'is_instance_of',
          location: [...location, AS_INSTANCE],
          message: 'Input should be an instance of SamplingParams',
          input: given,
          context: "{'class': 'SamplingParams'}",
        },
        { ...problem, location: [...location, AS_OBJECT, ...place] },
      ],
      parameter ?? 'body.sampling_params',
    );
  if (!isJsonObject(given)) {
    throw refuse({ type: 'dict_type', message: 'Input should be a valid dictionary', input: given });
  }
  for (const [name, field] of Object.entries(NUMBERS)) {
    const value = given[name];
    if (value === undefined || value === null || field.safeParse(value).success) continue;
    throw refuse({ ...problemOf(field === integerField, value), input: value }, [name]);
  }
  try {
    checkSampling(given, vocabularySize);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const text = error.message;
    const named = / \(parameter=(\w+)(?:, value=[^)]*)?\)$/.exec(text);
    const bare = named === null ? text : text.slice(0, named.index);
    const kind = named === null ? 'ValueError' : 'VLLMValidationError';
    const context = `{'error': ${kind}(${pythonRepr(bare)})}`;
    throw refuse({ type: 'value_error', message: `Value error, ${text}`, input: given, context }, [], named?.[1]);
  }
  return given;
}

function problemOf(isInteger: boolean, value: unknown): Pick<SchemaProblem, 'type' | 'message'> {
  const kind = isInteger ? 'integer' : 'number';
  const short = isInteger ? 'int' : 'float';
  if (pythonType(value) === 'str') {
    const article = isInteger ? 'an integer' : 'a number';
    return {
      type: `${short}_parsing`,
      message: `Input should be a valid ${kind}, unable to parse string as ${article}`,
    };
  }
  if (isInteger && pythonType(value) === 'float') {
    return {
      type: 'int_from_float',
      message: 'Input should be a valid integer, got a number with a fractional part',
    };
  }
  return { type: `${short}_type`, message: `Input should be a valid ${kind}` };
}

/** @throws ApiError 400 */
function requestOf(params: JsonObject, fields: Fields, maxModelLen: number): GenerationRequest {
  const length = fields.tokenIds.length;
  const { max_tokens: limit, logprobs: _, ...sampling } = params;
  if (length > maxModelLen) {
    throw badRequest(`Input length (${length}) exceeds model's maximum context length (${maxModelLen}).`, null);
  }
  const { include_usage: includeUsage, continuous_usage_stats: continuous } = fields.stream_options ?? {};
  const stream = fields.stream ?? false;
  const request = parseCompletionRequest({
    ...sampling,
    prompt: fields.tokenIds,
    model: fields.model,
    stream,
  });
  const asked = stream && fields.stream_options ? (includeUsage ?? true) : false;
  return {
    ...request,
    // Unlike that of a completion, its id is the request's for the engine too.
    endpoint: 'chat',
    // What exceeds the context ends with it.
    maxTokens: typeof limit === 'number' ? Math.min(limit, Math.max(1, maxModelLen - length)) : null,
    includeUsage: asked,
    continuousUsage: asked && (continuous ?? false),
    returnTokenIds: true,
    body: params,
  };
}

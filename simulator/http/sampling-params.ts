import { type AnswerShape, UNCONSTRAINED } from './answer-shape.js';
import type { GenerationRequest } from './generation-request.js';
import { isJsonObject } from './pydantic-report.js';
import type { JsonObject } from './request-body.js';

/** vLLM's RequestOutputKind: what is new, or only the end. */
const OUTPUT_KIND = { stream: 1, whole: 2 };
/** Below this temperature the likeliest token is taken, whatever else is asked for. */
const GREEDY_BELOW = 1e-5;
const DEFAULT_MAX_TOKENS = 16;

/**
 * The sampling parameters of a request as vLLM 0.26 hands them from its front end to an engine elsewhere: most fields
 * are left out where they have their default.
 */
export function samplingParamsOf(request: GenerationRequest, maxTokens: number): JsonObject {
  const { body, logprobs } = request;
  const greedy = request.temperature < GREEDY_BELOW;
  const number = (name: string, byDefault: number): number => {
    const value = body[name];
    return typeof value === 'number' ? value : byDefault;
  };
  const fields: Readonly<Record<string, unknown>> = {
    n: unless(1, request.n),
    presence_penalty: number('presence_penalty', 0),
    frequency_penalty: number('frequency_penalty', 0),
    repetition_penalty: number('repetition_penalty', 1),
    temperature: request.temperature,
    top_p: greedy ? undefined : number('top_p', 1),
    top_k: greedy ? undefined : unless(0, number('top_k', 0)),
    min_p: greedy ? undefined : number('min_p', 0),
    seed: request.seed ?? undefined,
    stop: request.stop,
    stop_token_ids: body.stop_token_ids ?? [],
    ignore_eos: unless(false, request.ignoreEos),
    max_tokens: unless(DEFAULT_MAX_TOKENS, maxTokens),
    min_tokens: unless(0, request.minTokens),
    logprobs: logprobs.generated ?? undefined,
    prompt_logprobs: logprobs.prompt ?? undefined,
    skip_special_tokens: body.skip_special_tokens === false ? false : undefined,
    spaces_between_special_tokens: body.spaces_between_special_tokens === false ? false : undefined,
    include_stop_str_in_output: unless(false, request.includeStop),
    output_kind: request.stream ? OUTPUT_KIND.stream : OUTPUT_KIND.whole,
    skip_clone: true,
    structured_outputs: structuredOutputs(request) ?? undefined,
    logit_bias: body.logit_bias ?? undefined,
    allowed_token_ids: body.allowed_token_ids ?? undefined,
    bad_words: body.bad_words ?? [],
    skip_reading_prefix_cache: logprobs.prompt !== null,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function unless<T>(byDefault: T, value: T): T | undefined {
  return value === byDefault ? undefined : value;
}

function structuredOutputs({ body, shape }: GenerationRequest): JsonObject | null {
  const given = isJsonObject(body.structured_outputs) ? body.structured_outputs : {};
  if (shape === null && Object.keys(given).length === 0) return null;
  const isAnyObject = isJsonObject(body.response_format) && body.response_format.type === 'json_object';
  return {
    ...UNCONSTRAINED,
    json: isAnyObject ? null : schemaOf(shape),
    json_object: isAnyObject ? true : null,
    ...given,
  };
}

function schemaOf(shape: AnswerShape | null): unknown {
  return shape?.kind === 'json' && shape.before === '' ? shape.schema : null;
}

import { badRequest, valueError } from './api-error.js';
import { decodeError } from './json-error.js';
import type { JsonObject } from './request-body.js';

/** Read once more by the template. @throws ApiError 400 in the words of Python's json */
export function readArguments(given: unknown): unknown {
  if (typeof given !== 'string' || given === '') return given;
  try {
    JSON.parse(given);
  } catch {
    throw badRequest(decodeError(given), null);
  }
  return given;
}

export function checkCacheSalt(body: JsonObject): void {
  const salt = body.cache_salt ?? null;
  if (salt === null || (typeof salt === 'string' && salt !== '')) return;
  throw valueError("Parameter 'cache_salt' must be a non-empty string if provided.", 'cache_salt', body);
}

export function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

export function checkStreamOptions(body: JsonObject): void {
  if (body.stream_options && !body.stream) {
    throw valueError('Stream options can only be defined when `stream=True`.', 'stream_options', body);
  }
}

/** How many log probabilities may be asked for, as far as the body alone tells. */
export function checkLogprobs(body: JsonObject, parameter: 'logprobs' | 'top_logprobs'): void {
  checkNamedTokens(body, parameter === 'logprobs');
  const ofPrompt = asCount(body.prompt_logprobs);
  const ofAnswer = asCount(body[parameter]);
  if (typeof ofPrompt === 'string' || typeof ofAnswer === 'string') {
    throw badRequest("'<' not supported between instances of 'str' and 'int'", null);
  }
  if (typeof ofPrompt === 'number') {
    if (body.stream && (ofPrompt > 0 || ofPrompt === -1)) {
      throw valueError('`prompt_logprobs` are not available when `stream=True`.', 'prompt_logprobs', body);
    }
    if (ofPrompt < -1) {
      throw valueError('`prompt_logprobs` must be a positive value or -1.', 'prompt_logprobs', body, ofPrompt);
    }
  }
  if (typeof ofAnswer !== 'number') return;
  if (parameter === 'logprobs') {
    if (ofAnswer < 0) throw valueError('`logprobs` must be a positive value.', 'logprobs', body, ofAnswer);
    return;
  }
  if (ofAnswer < -1) {
    throw valueError('`top_logprobs` must be a positive value or -1.', 'top_logprobs', body, ofAnswer);
  }
  if (ofAnswer !== 0 && !body.logprobs) {
    throw valueError('when using `top_logprobs`, `logprobs` must be set to true.', 'top_logprobs', body);
  }
}

/** In Python a boolean is a number. */
function asCount(value: unknown): unknown {
  return typeof value === 'boolean' ? Number(value) : value;
}

/** Tokens whose log probabilities are wanted by name. */
function checkNamedTokens(body: JsonObject, isCompletion: boolean): void {
  const name = 'logprob_token_ids';
  const { [name]: ids, logprobs } = body;
  if (!ids || isEmptyList(ids)) return;
  if (body.use_beam_search) throw valueError('`logprob_token_ids` is not supported with beam search.', name, body);
  if (isCompletion && body.echo && body.max_tokens === 0) {
    const text =
      '`logprob_token_ids` is not supported when `echo=True` and `max_tokens=0` because no output tokens are generated.';
    throw valueError(text, name, body);
  }
  if (isCompletion && (logprobs ?? null) === null) {
    throw valueError('when using `logprob_token_ids`, `logprobs` must be set.', name, body);
  }
  if (!isCompletion && !logprobs) {
    throw valueError('when using `logprob_token_ids`, `logprobs` must be set to true.', name, body);
  }
}

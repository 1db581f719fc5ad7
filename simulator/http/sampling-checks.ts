import { badRequest, badValue } from './api-error.js';
import { pythonFloat, pythonRepr } from './python-text.js';
import type { JsonObject } from './request-body.js';

/** vLLM's limit of --max-logprobs, and VLLM_MAX_N_SEQUENCES. */
export const MAX_LOGPROBS = 20;
export const MAX_SEQUENCES = 16384;

/**
 * Values that parse but are refused, in the order and the words of vLLM 0.26 (SamplingParams), once the model is known
 * to exist.
 * @throws ApiError 400
 */
export function checkSampling(body: JsonObject, vocabularySize: number): void {
  const numberOf = (name: string): number | null => {
    const value = body[name];
    return typeof value === 'number' ? value : null;
  };
  const check = (name: string, isSound: (value: number) => boolean, text: (shown: string) => string): void => {
    const value = numberOf(name);
    if (value !== null && !isSound(value)) throw badRequest(text(pythonFloat(value)), null);
  };
  checkLogitBias(body.logit_bias);
  const n = numberOf('n');
  if (n !== null && n < 1) throw badRequest(`n must be at least 1, got ${n}.`, null);
  if (n !== null && n > MAX_SEQUENCES) {
    const hint = 'To increase this limit, set the VLLM_MAX_N_SEQUENCES environment variable.';
    throw badRequest(`n must be at most ${MAX_SEQUENCES}, got ${n}. ${hint}`, null);
  }
  for (const name of ['presence_penalty', 'frequency_penalty']) {
    check(
      name,
      (value) => value >= -2 && value <= 2,
      (shown) => `${name} must be in [-2, 2], got ${shown}.`,
    );
  }
  check(
    'repetition_penalty',
    (value) => value > 0,
    (shown) => `repetition_penalty must be greater than zero, got ${shown}.`,
  );
  const ranged = (name: string, isSound: (value: number) => boolean, text: string): void => {
    const value = numberOf(name);
    if (value !== null && !isSound(value))
      throw badValue(`${name} ${text}, got ${pythonFloat(value)}.`, name, value, true);
  };
  ranged('temperature', (value) => value >= 0, 'must be non-negative');
  ranged('temperature', (value) => value <= 2, 'must be in [0, 2]');
  ranged('top_p', (value) => value > 0 && value <= 1, 'must be in (0, 1]');
  const topK = numberOf('top_k');
  if (topK !== null && topK < -1) throw badRequest(`top_k must be 0 (disable), or at least 1, got ${topK}.`, null);
  check(
    'min_p',
    (value) => value >= 0 && value <= 1,
    (shown) => `min_p must be in [0, 1], got ${shown}.`,
  );
  checkLengths(numberOf, body.echo === true && !('messages' in body));
  if (body.stop === '' || (Array.isArray(body.stop) && body.stop.includes(''))) {
    throw badRequest('stop cannot contain an empty string.', null);
  }
  if (Array.isArray(body.bad_words) && body.bad_words.includes('')) {
    throw badRequest(`bad_words cannot contain an empty string. Got bad_words=${pythonRepr(body.bad_words)}`, null);
  }
  if (n !== null && n > 1 && numberOf('temperature') === 0 && !body.use_beam_search) {
    throw badRequest(`n must be 1 when using greedy sampling, got ${n}.`, null);
  }
  const count = (name: string): number | null => {
    const value = numberOf(name);
    return value === -1 ? vocabularySize : value;
  };
  checkLogprobs(count('top_logprobs') ?? count('logprobs'), 'sample', 'logprobs');
  checkLogprobs(count('prompt_logprobs'), 'prompt', 'prompt_logprobs');
}

/** Before all else: the parameters are made of it. */
function checkLogitBias(bias: unknown): void {
  const strangers = Object.keys(Object(bias)).filter((key) => !/^\s*[+-]?\d+\s*$/.test(key));
  if (strangers.length === 0) return;
  const shown = pythonRepr(strangers);
  const text = `logit_bias contains key(s) that cannot be converted to integer token IDs: ${shown}`;
  throw badRequest(`${text} (parameter=logit_bias, value=${shown})`, 'logit_bias');
}

function checkLengths(numberOf: (name: string) => number | null, echo: boolean): void {
  const limit = numberOf('max_completion_tokens') ?? numberOf('max_tokens');
  // The prompt alone is echoed.
  const nothingWanted = limit === 0 && echo;
  if (limit !== null && limit < 1 && !nothingWanted) {
    throw badValue(`max_tokens must be at least 1, got ${limit}.`, 'max_tokens', limit);
  }
  const least = numberOf('min_tokens');
  if (least === null) return;
  if (least < 0) throw badRequest(`min_tokens must be greater than or equal to 0, got ${least}.`, null);
  if (limit !== null && least > limit) {
    throw badRequest(`min_tokens must be less than or equal to max_tokens=${limit}, got ${least}.`, null);
  }
}

function checkLogprobs(count: number | null, what: string, parameter: string): void {
  if (count === null || count <= MAX_LOGPROBS) return;
  const text = `Requested ${what} logprobs of ${count}, which is greater than max allowed: ${MAX_LOGPROBS}`;
  throw badValue(text, parameter, count);
}

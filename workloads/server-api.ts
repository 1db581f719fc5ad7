import type { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRecord } from './json-value.js';
import { ask, type ServerAnswer, ServerAnswerError, ServerUnreachableError } from './server-answer.js';
import type { Target } from './target.js';

export { ServerAnswerError, ServerUnreachableError } from './server-answer.js';
export { detectSimulation } from './simulation.js';

export interface ServedModel {
  readonly id: string;
  /** null where the server does not tell. */
  readonly maxModelLen: number | null;
}

const RESET_LIMIT_MS = 30_000;
const RESET_POLL_MS = 100;

/**
 * What a good answer says.
 * @param read undefined: it is something else
 * @throws ServerAnswerError
 */
function parsed<Value>(answer: ServerAnswer, what: string, read: (json: unknown) => Value | undefined): Value {
  if (answer.status < 200 || answer.status >= 300) {
    const body = answer.text.trim().slice(0, 500);
    throw new ServerAnswerError(`${what} answered HTTP ${answer.status}: ${body}`, answer.status);
  }
  let json: unknown;
  try {
    json = JSON.parse(answer.text);
  } catch {
    throw new ServerAnswerError(`${what} answered no JSON: "${answer.text.slice(0, 200)}".`, answer.status);
  }
  const value = read(json);
  if (value === undefined) {
    throw new ServerAnswerError(`${what} answered something else: "${answer.text.slice(0, 200)}".`, answer.status);
  }
  return value;
}

function readModels(json: unknown): readonly ServedModel[] | undefined {
  const data = isRecord(json) ? json['data'] : undefined;
  const models = Array.isArray(data) ? data.map(readModel) : [undefined];
  const whole = models.filter((model) => model !== undefined);
  return whole.length === models.length ? whole : undefined;
}

function readModel(model: unknown): ServedModel | undefined {
  const { id, max_model_len: length } = isRecord(model) ? model : {};
  const maxModelLen = length ?? null;
  return typeof id === 'string' && (maxModelLen === null || typeof maxModelLen === 'number')
    ? { id, maxModelLen }
    : undefined;
}

function readVersion(json: unknown): string | undefined {
  const version = isRecord(json) ? json['version'] : json;
  return typeof version === 'string' ? version : undefined;
}

function readTokens(json: unknown): number[] | undefined {
  const tokens = isRecord(json) ? json['tokens'] : undefined;
  return Array.isArray(tokens) && tokens.every(Number.isInteger) ? tokens : undefined;
}

function readPrompt(json: unknown): string | undefined {
  const prompt = isRecord(json) ? json['prompt'] : undefined;
  return typeof prompt === 'string' ? prompt : undefined;
}

function readSuccess(json: unknown): boolean | undefined {
  const success = isRecord(json) ? json['success'] : undefined;
  return typeof success === 'boolean' ? success : undefined;
}

/** GET /v1/models. @throws ServerUnreachableError, ServerAnswerError. */
export async function listModels(target: Target, signal: AbortSignal): Promise<readonly ServedModel[]> {
  const answer = await ask(target, 'GET', '/v1/models', { signal });
  return parsed(answer, 'GET /v1/models', readModels);
}

/** GET /health; false for any answer but 200, and for none. */
export async function isHealthy(target: Target, signal: AbortSignal): Promise<boolean> {
  try {
    return (await ask(target, 'GET', '/health', { signal, timeoutMs: 5000 })).status === 200;
  } catch (error) {
    if (error instanceof ServerUnreachableError) {
      return false;
    }
    throw error;
  }
}

/** GET /version; null where the server has none. @throws ServerUnreachableError. */
export async function serverVersion(target: Target, signal: AbortSignal): Promise<string | null> {
  const answer = await ask(target, 'GET', '/version', { signal });
  if (answer.status !== 200) {
    return null;
  }
  return parsed(answer, 'GET /version', readVersion);
}

/**
 * POST /reset_prefix_cache: empties the engine's own prefix cache, not LMCache. While requests still hold blocks the
 * server answers `success: false`; it is asked again for up to 30 s.
 */
export async function resetPrefixCache(
  target: Target,
  signal: AbortSignal,
): Promise<{ readonly ok: true } | { readonly ok: false; readonly message: string }> {
  const giveUpAt = performance.now() + RESET_LIMIT_MS;
  for (;;) {
    const answer = await ask(target, 'POST', '/reset_prefix_cache', { signal });
    if (answer.status === 404 || answer.status === 405) {
      return {
        ok: false,
        message: 'The server does not offer /reset_prefix_cache: start vLLM with VLLM_SERVER_DEV_MODE=1.',
      };
    }
    if (answer.status !== 200) {
      return { ok: false, message: `/reset_prefix_cache answered HTTP ${answer.status}: ${answer.text.slice(0, 500)}` };
    }
    // Older servers answer 200 with an empty body.
    if (answer.text.trim() === '' || parsed(answer, 'POST /reset_prefix_cache', readSuccess)) {
      return { ok: true };
    }
    if (performance.now() > giveUpAt) {
      return {
        ok: false,
        message: `/reset_prefix_cache still answers "success": false after ${RESET_LIMIT_MS / 1000} s.`,
      };
    }
    await sleep(RESET_POLL_MS, undefined, { signal });
  }
}

/** POST /tokenize. @throws ServerUnreachableError, ServerAnswerError. */
export async function tokenize(
  target: Target,
  text: string,
  options: { readonly addSpecialTokens: boolean; readonly signal: AbortSignal; readonly agent?: Agent },
): Promise<number[]> {
  const answer = await ask(target, 'POST', '/tokenize', {
    ...options,
    body: { model: target.model, prompt: text, add_special_tokens: options.addSpecialTokens },
  });
  return parsed(answer, 'POST /tokenize', readTokens);
}

/** POST /detokenize. @throws ServerUnreachableError, ServerAnswerError. */
export async function detokenize(
  target: Target,
  tokens: readonly number[],
  options: { readonly signal: AbortSignal; readonly agent?: Agent },
): Promise<string> {
  const answer = await ask(target, 'POST', '/detokenize', { ...options, body: { model: target.model, tokens } });
  return parsed(answer, 'POST /detokenize', readPrompt);
}

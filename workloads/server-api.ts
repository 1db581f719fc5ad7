import type { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
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

const modelsSchema = z.object({
  data: z.array(z.object({ id: z.string(), max_model_len: z.number().nullish() })),
});
const tokenizeSchema = z.object({ tokens: z.array(z.number().int()) });
const detokenizeSchema = z.object({ prompt: z.string() });
const versionSchema = z.union([z.object({ version: z.string() }), z.string()]);
const resetSchema = z.object({ success: z.boolean() });

function parsed<Value>(answer: ServerAnswer, schema: z.ZodType<Value>, what: string): Value {
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
  const result = schema.safeParse(json);
  if (!result.success) {
    throw new ServerAnswerError(`${what} answered something else: ${z.prettifyError(result.error)}`, answer.status);
  }
  return result.data;
}

/** GET /v1/models. @throws ServerUnreachableError, ServerAnswerError. */
export async function listModels(target: Target, signal: AbortSignal): Promise<readonly ServedModel[]> {
  const answer = await ask(target, 'GET', '/v1/models', { signal });
  return parsed(answer, modelsSchema, 'GET /v1/models').data.map((model) => ({
    id: model.id,
    maxModelLen: model.max_model_len ?? null,
  }));
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
  const version = parsed(answer, versionSchema, 'GET /version');
  return typeof version === 'string' ? version : version.version;
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
    if (answer.text.trim() === '' || parsed(answer, resetSchema, 'POST /reset_prefix_cache').success) {
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
  return parsed(answer, tokenizeSchema, 'POST /tokenize').tokens;
}

/** POST /detokenize. @throws ServerUnreachableError, ServerAnswerError. */
export async function detokenize(
  target: Target,
  tokens: readonly number[],
  options: { readonly signal: AbortSignal; readonly agent?: Agent },
): Promise<string> {
  const answer = await ask(target, 'POST', '/detokenize', { ...options, body: { model: target.model, tokens } });
  return parsed(answer, detokenizeSchema, 'POST /detokenize').prompt;
}

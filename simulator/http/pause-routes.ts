import type { IncomingMessage } from 'node:http';
import type { EngineService } from '../engine-service.js';
import type { ServedModel } from '../served-model.js';
import { badRequest } from './api-error.js';
import { decodeError } from './json-error.js';
import { isJsonObject } from './pydantic-report.js';
import { fieldless, type JsonObject, readBody, requireJson } from './request-body.js';
import { engineCallFailed, httpException, queryBooleanError, queryChoiceError } from './route-errors.js';
import type { Handler } from './routing.js';
import { callWorkers, NO_TRANSFER } from './worker-methods.js';

type Routes = readonly (readonly [path: string, methods: Readonly<Record<string, Handler>>])[];

const PAUSE_MODES = ['abort', 'wait', 'keep'] as const;
type PauseMode = (typeof PAUSE_MODES)[number];
/** pydantic's words for booleans. */
const TRUE = /^(1|true|t|yes|y|on)$/i;
const FALSE = /^(0|false|f|no|n|off)$/i;

/**
 * What VLLM_SERVER_DEV_MODE=1 adds for training beside serving (vLLM 0.26): pausing, sleeping, and the exchange of
 * weights, which no simulated engine is configured for.
 */
export function pauseRoutes(served: ServedModel, engine: EngineService): Routes {
  const { tensorParallelSize, pipelineParallelSize } = served.options;
  const workers = tensorParallelSize * pipelineParallelSize;
  const { sleep, loop } = engine;
  const isPaused = (): boolean => loop.scheduler.pauseState !== 'none';
  const isAsleep = (): boolean => sleep.tags.size > 0;
  const withoutTransfer = () => engineCallFailed('collective_rpc', NO_TRANSFER, workers);
  const demanding =
    (field: string): Handler =>
    async (request) => {
      const body = await bodyObject(request, () => 'Invalid JSON format');
      if ((body[field] ?? null) === null) throw httpException(400, `Missing '${field}' in request body`);
      throw withoutTransfer();
    };
  const refused: Handler = () => {
    throw withoutTransfer();
  };
  return [
    [
      '/pause',
      {
        POST: async (request, reply) => {
          const query = queryOf(request);
          const mode = PAUSE_MODES.find((name) => name === (query.get('mode') ?? 'abort'));
          if (mode === undefined) throw queryChoiceError('mode', query.get('mode') ?? '', PAUSE_MODES);
          const waits = booleanOf(query, 'wait_for_inflight_requests', false);
          const clears = booleanOf(query, 'clear_cache', true);
          await engine.pause(waits ? 'wait' : mode, clears);
          reply.json({ status: 'paused' });
        },
      },
    ],
    [
      '/resume',
      {
        POST: (_, reply) => {
          loop.resume();
          reply.json({ status: 'resumed' });
        },
      },
    ],
    ['/is_paused', { GET: (_, reply) => reply.json({ is_paused: isPaused() }) }],
    [
      '/abort_requests',
      {
        POST: async (request, reply) => {
          const body = await bodyObject(request, () => 'Invalid JSON format');
          reply.json({ status: 'aborted', aborted: abort(engine, body.request_ids) });
        },
      },
    ],
    [
      '/sleep',
      {
        POST: async (request, reply) => {
          const query = queryOf(request);
          const level = levelOf(query.get('level') ?? '1');
          await engine.pause(sleepMode(query.get('mode') ?? 'abort'), level >= 1);
          sleep.fallAsleep(level);
          reply.send(200, '', null);
        },
      },
    ],
    [
      '/wake_up',
      {
        POST: (request, reply) => {
          const tags = queryOf(request).getAll('tags');
          const memory = tags.filter((tag) => tag !== 'scheduling');
          sleep.wake(tags.length === 0 ? null : memory);
          // After a part has woken, requests go on waiting for the rest.
          if (!isAsleep()) loop.resume();
          reply.send(200, '', null);
        },
      },
    ],
    ['/is_sleeping', { GET: (_, reply) => reply.json({ is_sleeping: isPaused() || isAsleep() }) }],
    [
      '/collective_rpc',
      { POST: async (request, reply) => reply.json({ results: callWorkers(await rpcBody(request), workers) }) },
    ],
    ['/init_weight_transfer_engine', { POST: demanding('init_info') }],
    ['/update_weights', { POST: demanding('update_info') }],
    ['/start_weight_update', { POST: refused }],
    ['/start_draft_weight_update', { POST: refused }],
    ['/finish_weight_update', { POST: refused }],
  ];
}

/** What an engine behind a front end elsewhere (--tokens-only) has instead, without development mode. */
export function tokensOnlyRoutes(engine: EngineService): Routes {
  return [
    [
      '/abort_requests',
      {
        POST: async (request, reply) => {
          const { request_ids: named } = await rpcBody(request);
          if ((named ?? null) === null) throw httpException(400, "Missing 'request_ids' in request body");
          const ids = Array.isArray(named) ? named.map(String) : [String(named)];
          engine.abort((id) => ids.includes(id));
          reply.send(200, '', null);
        },
      },
    ],
  ];
}

/** POST /scale_elastic_ep: there is one data-parallel rank, and no engine here can have more. */
export const scaleElastic: Handler = async (request, reply) => {
  requireJson(request.headers['content-type']);
  const body = await bodyObject(request, () => 'Invalid JSON format');
  const { new_data_parallel_size: size, drain_timeout: timeout = 120 } = body;
  if ((size ?? null) === null) throw httpException(400, 'new_data_parallel_size is required');
  if (!isPositiveInteger(size)) throw httpException(400, 'new_data_parallel_size must be a positive integer');
  if (!isPositiveInteger(timeout)) throw httpException(400, 'drain_timeout must be a positive integer');
  if (size !== 1) throw httpException(500, 'Scale failed');
  reply.json({ message: 'Scaled to 1 data parallel engines' });
};

function isPositiveInteger(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) > 0;
}

function queryOf(request: IncomingMessage): URLSearchParams {
  return new URL(request.url ?? '/', 'http://localhost').searchParams;
}

/** @throws ApiError 400 */
function booleanOf(query: URLSearchParams, name: string, byDefault: boolean): boolean {
  const text = query.get(name);
  if (text === null) return byDefault;
  if (!TRUE.test(text) && !FALSE.test(text)) throw queryBooleanError(name, text);
  return TRUE.test(text);
}

/** @throws ApiError 400 */
function levelOf(text: string): number {
  if (!/^\s*[+-]?\d+\s*$/.test(text)) throw badRequest(`invalid literal for int() with base 10: '${text}'`, null);
  return Number(text);
}

/** Looked at by the engine alone. @throws ApiError 500 */
function sleepMode(text: string): PauseMode {
  const mode = PAUSE_MODES.find((name) => name === text);
  if (mode === undefined) throw engineCallFailed('sleep', `Invalid pause mode: ${text}`);
  return mode;
}

/** Ends requests by name, or all; as vLLM, tells how many were named, or were there. */
function abort(engine: EngineService, named: unknown): number {
  const ids = typeof named === 'string' && named !== '' ? [named] : Array.isArray(named) ? named.map(String) : [];
  if (ids.length === 0) return engine.abort();
  engine.abort((id) => ids.includes(id));
  return ids.length;
}

async function rpcBody(request: IncomingMessage): Promise<JsonObject> {
  return bodyObject(request, (text) => `JSON decode error: ${decodeError(text)}`);
}

/** The body as JSON, whatever its content type. @throws ApiError 400; 500 for JSON that is no object, as Python fails there. */
async function bodyObject(request: IncomingMessage, refusal: (text: string) => string): Promise<JsonObject> {
  const text = await readBody(request);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw httpException(400, refusal(text));
  }
  if (isJsonObject(value)) return value;
  throw fieldless(value);
}

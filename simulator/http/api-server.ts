import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';

import type { RealTimeClock } from '../clock.js';
import type { EngineService } from '../engine-service.js';
import { createHttpMetrics } from '../http-metrics.js';
import type { EngineLog } from '../log.js';
import { openApiOf } from '../open-api.js';
import type { RequestFaults } from '../request-faults.js';
import type { ServedModel } from '../served-model.js';
import { applySimControl, type SimControlState } from '../sim-control.js';
import { simulatedHeaders } from '../sim-environment.js';
import type { SleepState } from '../sleep-state.js';
import { ApiError, badRequest } from './api-error.js';
import { Cors } from './cors.js';
import { developmentRoutes } from './development-routes.js';
import { REDOC_PAGE, SWAGGER_PAGE } from './docs-pages.js';
import { checkModel } from './generate.js';
import { pauseRoutes } from './pause-routes.js';
import { PromptCache } from './prompt-cache.js';
import { Reply } from './reply.js';
import { parseFieldsFirst, parseObject, readBody } from './request-body.js';
import { everyMethod, findRoute, type Handler, type Methods, pathOf, type Routes, redirectOf } from './routing.js';
import { scaleOutRoutes } from './scale-out-routes.js';
import { ServerLoad } from './server-load.js';
import { textRoutes } from './text-routes.js';
import { detokenize, tokenize } from './tokenize.js';
import { TurnQueue } from './turn-queue.js';

export interface ApiServerOptions {
  readonly served: ServedModel;
  readonly control: SimControlState;
  readonly engine: EngineService;
  readonly clock: RealTimeClock;
  readonly log: EngineLog;
  /** The simulator's options have changed. */
  readonly onControl: () => void;
}

/** What --api-key protects. */
const GUARDED = ['/v1', '/v2', '/inference'];
/** uvicorn's idle limit of a connection, as vLLM sets it. */
const KEEP_ALIVE_MS = 5000;

/** vLLM's OpenAI-compatible HTTP server, not yet listening. */
export function createApiServer(options: ApiServerOptions): Server {
  const { control, clock, log, served, engine } = options;
  const routes = createRoutes(options);
  const cors = new Cors(served.options.cors);
  const count = createHttpMetrics(engine.registry);
  const accessLog = served.options.accessLog ? (line: string) => log.access(line) : () => undefined;
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    const reply = new Reply(request, response, clock.now(), simulatedHeaders(control), accessLog);
    engine.loop.catchUp();
    const path = pathOf(request);
    const { pattern, handlers } = findRoute(routes, path);
    response.on('close', () => {
      count({
        handler: pattern,
        method: request.method ?? '',
        status: response.statusCode,
        requestBytes: Number(request.headers['content-length'] ?? 0),
        responseBytes: Number(response.getHeader('content-length') ?? 0),
        seconds: clock.now() - reply.arrival,
      });
    });
    if (served.options.requestIdHeaders) reply.addHeaders(requestIdHeader(request));
    const target = handlers ?? redirectOf(routes, path, request);
    void dispatch(options, cors, target, path, request, reply);
  });
  // Hundreds of clients that come at once are accepted, and read, in one turn of the event loop: steps go on meanwhile.
  server.on('connection', () => engine.loop.catchUp());
  server.setTimeout(0);
  server.requestTimeout = 0;
  return server;
}

function requestIdHeader({ headers }: IncomingMessage): Readonly<Record<string, string>> {
  const given = headers['x-request-id'];
  return { 'x-request-id': typeof given === 'string' ? given : randomBytes(16).toString('hex') };
}

async function dispatch(
  { served, log, engine }: ApiServerOptions,
  cors: Cors,
  handlers: Methods | undefined,
  path: string,
  request: IncomingMessage,
  reply: Reply,
): Promise<void> {
  try {
    if (path !== '/sim/control') {
      if (engine.faults.isOn('http-hang')) return;
      if (isRefused(engine.faults, path)) return reply.json(serviceUnavailable(), 503);
    }
    if (!isAuthorized(served, path, request)) return reply.json({ error: 'Unauthorized' }, 401);
    const preflight = cors.preflight(request.method, request.headers);
    if (preflight !== null) {
      return reply.send(preflight.status, preflight.body, 'text/plain; charset=utf-8', preflight.headers);
    }
    reply.addHeaders(cors.answerHeaders(request.headers));
    if (handlers === undefined) return reply.json({ detail: 'Not Found' }, 404);
    const handler = handlers[request.method ?? ''];
    if (handler === undefined) {
      const allow = { allow: Object.keys(handlers).join(', ') };
      return reply.send(405, JSON.stringify({ detail: 'Method Not Allowed' }), 'application/json', allow);
    }
    await handler(request, reply);
  } catch (error) {
    answerFailure(error, request, reply, log);
  }
}

function answerFailure(error: unknown, request: IncomingMessage, reply: Reply, log: EngineLog): void {
  if (error instanceof ApiError) {
    log.api('ERROR', 'server_utils.py:384', `${request.method} ${request.url} ${error.status}: ${error.message}`);
    reply.send(error.status, error.body);
    return;
  }
  // A client that goes away while it sends its body is nobody's fault.
  if (reply.response.destroyed || request.destroyed) return;
  const message = error instanceof Error ? error.message : String(error);
  log.api('ERROR', 'server_utils.py:384', error instanceof Error ? (error.stack ?? message) : message);
  reply.json({ error: { message, type: 'InternalServerError', param: null, code: 500 } }, 500);
}

function isRefused(faults: RequestFaults, path: string): boolean {
  if (path === '/health') return faults.isOn('health-503');
  return path.startsWith('/v1/') && faults.strikes('http-503');
}

function serviceUnavailable(): unknown {
  const message = 'The server is overloaded (SIM_FAULT=http-503). Please try again later.';
  return { error: { message, type: 'ServiceUnavailableError', param: null, code: 503 } };
}

function isAuthorized(served: ServedModel, path: string, request: IncomingMessage): boolean {
  const { apiKeys } = served;
  if (apiKeys.length === 0 || request.method === 'OPTIONS') return true;
  if (!GUARDED.some((prefix) => path.startsWith(prefix))) return true;
  const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  return token !== undefined && apiKeys.includes(token);
}

function createRoutes(options: ApiServerOptions): Routes {
  const { served, control, engine } = options;
  const context = { served, control, engine, prompts: new PromptCache(), turns: new TurnQueue() };
  const load = new ServerLoad(served.options.loadTracking);
  const empty: Handler = (_, reply) => reply.send(200, '', null);
  const metrics: Handler = async (_, reply) =>
    reply.send(200, await engine.registry.metrics(), engine.registry.contentType);
  const routes = new Map<string, Methods>([
    ['/health', { GET: empty }],
    ['/ping', { GET: empty, POST: empty }],
    ['/load', { GET: (_, reply) => reply.json({ server_load: load.present }) }],
    ['/version', { GET: (_, reply) => reply.json({ version: served.profile.engineVersion }) }],
    ['/metrics', { GET: metrics }],
    ['/v1/models', { GET: (_, reply) => reply.json(modelList(served)) }],
    ['/is_scaling_elastic_ep', { POST: (_, reply) => reply.json({ is_scaling_elastic_ep: false }) }],
    ...load.counting([...textRoutes(context), ...scaleOutRoutes(context)]),
    [
      '/tokenize',
      {
        POST: async (request, reply) => {
          const fields = parseFieldsFirst(request, await readBody(request));
          checkModel(served, typeof fields.model === 'string' ? fields.model : null);
          reply.json(tokenize(served, fields));
        },
      },
    ],
    [
      '/detokenize',
      {
        POST: async (request, reply) => {
          const fields = parseObject(request, await readBody(request));
          checkModel(served, typeof fields.model === 'string' ? fields.model : null);
          reply.json(detokenize(served, fields));
        },
      },
    ],
    [
      '/sim/control',
      {
        POST: async (request, reply) => {
          const result = applySimControl(control, await readBody(request));
          if (result.kind === 'refused') throw badRequest(result.message, null);
          if (control.speed !== options.clock.speed) options.clock.setSpeed(control.speed);
          options.onControl();
          engine.onControl();
          reply.json({ ...result.view, gpuMemoryUsedMiB: usedMemoryMiB(served, engine.sleep) });
        },
      },
    ],
  ]);
  if (served.devMode) {
    const resetPrefixCache = () => engine.loop.scheduler.resetPrefixCache();
    for (const [path, methods] of developmentRoutes(served, resetPrefixCache)) routes.set(path, methods);
    for (const [path, methods] of pauseRoutes(served, engine)) routes.set(path, methods);
  }
  if (!served.options.given.disable_fastapi_docs) {
    const api = openApiOf(Object.fromEntries(routes), { title: 'FastAPI', version: '0.1.0' });
    const shown = (answer: Handler): Methods => ({ GET: answer, HEAD: answer });
    const page = (html: string) => shown((_, reply) => reply.send(200, html, 'text/html; charset=utf-8'));
    routes.set(
      '/openapi.json',
      shown((_, reply) => reply.json(api)),
    );
    routes.set('/docs', page(SWAGGER_PAGE));
    routes.set('/redoc', page(REDOC_PAGE));
  }
  // Behind the route that is told of lies an application of its own, which looks at no method.
  routes.set('/metrics', everyMethod(metrics));
  routes.set('/metrics/', everyMethod(metrics));
  return routes;
}

/** Of each of its GPUs: all that it may take, which vLLM takes when it starts, less what a sleeping one has given back. */
function usedMemoryMiB(
  { options, profile, stepTime, blockCount, blockTokens }: ServedModel,
  sleep: SleepState,
): number {
  const whole = options.gpuMemoryUtilization * profile.gpuMemoryGiB * 1024;
  if (!options.sleepMode) return Math.round(whole);
  const gpus = options.tensorParallelSize * options.pipelineParallelSize;
  const bytes = {
    weights: stepTime.weightBytes / gpus,
    kv_cache: (blockCount * blockTokens * stepTime.kvBytesPerToken) / gpus,
  };
  const freed = [...sleep.tags].reduce((sum, tag) => sum + bytes[tag], 0);
  return Math.round(whole - freed / 2 ** 20);
}

function modelList(served: ServedModel): unknown {
  const created = Math.floor(Date.now() / 1000);
  return {
    object: 'list',
    data: served.options.servedModelNames.map((id) => ({
      id,
      object: 'model',
      created,
      owned_by: 'vllm',
      root: served.options.model,
      parent: null,
      max_model_len: served.maxModelLen,
      permission: [
        {
          id: `modelperm-${randomBytes(8).toString('hex')}`,
          object: 'model_permission',
          created,
          allow_create_engine: false,
          allow_sampling: true,
          allow_logprobs: true,
          allow_search_indices: false,
          allow_view: true,
          allow_fine_tuning: false,
          organization: '*',
          group: null,
          is_blocking: false,
        },
      ],
    })),
  };
}

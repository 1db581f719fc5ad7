import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import { seededRandom } from '../chance.js';
import type { RealTimeClock } from '../clock.js';
import { openApiOf } from '../open-api.js';
import type { RequestFaults } from '../request-faults.js';
import { applySimControl, type SimControlState } from '../sim-control.js';
import { simulatedHeaders } from '../sim-environment.js';
import { cacheRoutes } from './cache-routes.js';
import type { CacheTier } from './cache-tier.js';
import { type Answer, findRoute, HttpProblem, type Routes } from './http-router.js';
import type { LogLevels } from './log-levels.js';
import { processRoutes } from './process-routes.js';
import { quotaRoutes } from './quota-routes.js';
import type { CacheServerOptions } from './server-arguments.js';
import type { ServerLog } from './server-log.js';
import type { ServerMetrics } from './server-metrics.js';
import { configOf, statusOf } from './server-status.js';
import type { TierEndpoint } from './tier-endpoint.js';

/** Longest body a request may have: 10,000 keys to delete, or a prompt of a million tokens. */
const LONGEST_BODY = 8 * 1024 * 1024;
/** What the recorded server calls itself. */
const COMMIT_ID = '140819c9';

export interface HttpFrontendOptions {
  readonly tier: CacheTier;
  readonly endpoint: TierEndpoint;
  readonly metrics: ServerMetrics;
  readonly server: CacheServerOptions;
  readonly clock: RealTimeClock;
  readonly state: SimControlState;
  readonly faults: RequestFaults;
  readonly lmcacheVersion: string;
  readonly instanceId: string;
  /** Of the server's process. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly levels: LogLevels;
  readonly log: ServerLog;
}

/** The HTTP side of `lmcache server`; not listening yet. */
export function createHttpFrontend(options: HttpFrontendOptions): Server {
  const routes = routesOf(options);
  return createServer((request, response) => {
    answer(request, response, routes, options).catch((error: unknown) => {
      options.log.uvicorn('ERROR', `Exception in ASGI application: ${error instanceof Error ? error.message : error}`);
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
      response.end('Internal Server Error');
    });
  });
}

function routesOf(options: HttpFrontendOptions): Routes {
  const { tier, endpoint, metrics, server, state, clock } = options;
  const json = (value: unknown) => (): Answer => ({ json: value });
  const routes: Routes = {
    '/': { GET: json({ status: 'ok', service: 'LMCache HTTP API' }) },
    '/healthcheck': { GET: json({ status: 'healthy' }) },
    '/status': { GET: () => ({ json: statusOf(tier, endpoint) }) },
    '/config': {
      GET: () => ({ text: JSON.stringify(configOf(server, options.instanceId), null, 2), type: 'application/json' }),
    },
    '/version': { GET: json(`${options.lmcacheVersion}-g${COMMIT_ID}`) },
    '/lmc_version': { GET: json(options.lmcacheVersion) },
    '/commit_id': { GET: json(COMMIT_ID) },
    '/metrics': {
      GET: async () => ({
        text: server.metricsEnabled ? await metrics.page(tier) : '',
        type: metrics.contentType,
      }),
    },
    '/metrics/reset': {
      POST: () => {
        metrics.reset();
        return { json: { status: 'ok' } };
      },
    },
    ...cacheRoutes(tier, endpoint, clock),
    ...quotaRoutes(tier),
    ...processRoutes(clock, options.environment, options.levels),
    '/sim/control': {
      POST: ({ body }) => {
        const result = applySimControl(state, body);
        if (result.kind === 'refused') return { status: 400, json: { error: result.message } };
        clock.setSpeed(state.speed);
        tier.disabled = state.fault.values.has('no-cache');
        return { json: result.view };
      },
    },
  };
  const title = 'LMCache HTTP API';
  return { ...routes, '/openapi.json': { GET: json(openApiOf(routes, { title, version: '1.0.0' })) } };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  routes: Routes,
  options: HttpFrontendOptions,
): Promise<void> {
  const { pathname: path, searchParams: query } = new URL(request.url ?? '/', 'http://localhost');
  if (path !== '/sim/control' && options.faults.isOn('http-hang')) return;
  const body = await readBody(request);
  const result = await resultOf({ method: request.method ?? '', path, query, body }, routes, options.faults);
  const { status = 200 } = result;
  const [type, sound] =
    'json' in result ? ['application/json', JSON.stringify(result.json)] : [result.type, result.text];
  const text = path === '/sim/control' ? sound : spoilt(sound, options.faults);
  response.writeHead(status, {
    server: 'uvicorn',
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    ...simulatedHeaders(options.state),
  });
  response.end(text);
  const peer = `${request.socket.remoteAddress}:${request.socket.remotePort}`;
  if (path !== '/metrics' && path !== '/healthcheck') {
    options.log.uvicorn(
      'INFO',
      `${peer} - "${request.method} ${path} HTTP/1.1" ${status} ${STATUS_CODES[status] ?? ''}`,
    );
  }
}

async function resultOf(
  request: {
    readonly method: string;
    readonly path: string;
    readonly query: URLSearchParams;
    readonly body: string | null;
  },
  routes: Routes,
  faults: RequestFaults,
): Promise<Answer> {
  const { method, path, query, body } = request;
  if (body === null) return { status: 413, json: { detail: 'Request body too large' } };
  const route = findRoute(routes, path);
  if (route === null) return { status: 404, json: { detail: 'Not Found' } };
  const handler = route.methods[method];
  if (handler === undefined) return { status: 405, json: { detail: 'Method Not Allowed' } };
  if (isRefused(faults, path)) return { status: 503, json: { detail: 'Service Unavailable' } };
  try {
    return await handler({ params: route.params, query, body });
  } catch (error) {
    if (error instanceof HttpProblem) return { status: error.status, json: { detail: error.detail } };
    throw error;
  }
}

function isRefused(faults: RequestFaults, path: string): boolean {
  if (path === '/healthcheck') return faults.isOn('health-503');
  return path !== '/sim/control' && faults.strikes('http-503');
}

/** The body as the faults of the moment leave it. */
function spoilt(text: string, faults: RequestFaults): string {
  if (faults.strikes('garbage')) {
    const random = seededRandom(text.length);
    return Array.from({ length: text.length }, () => String.fromCharCode(Math.floor(random() * 256))).join('');
  }
  return faults.strikes('half-json') ? text.slice(0, Math.ceil(text.length / 2)) : text;
}

/** The whole body, or null when it is too long. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  request.setEncoding('utf8');
  let body = '';
  for await (const part of request) {
    if (typeof part === 'string') body += part;
    if (body.length > LONGEST_BODY) return null;
  }
  return body;
}

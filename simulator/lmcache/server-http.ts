import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { seededRandom } from '../chance.js';
import type { RealTimeClock } from '../clock.js';
import type { RequestFaults } from '../request-faults.js';
import { applySimControl, type SimControlState } from '../sim-control.js';
import { simulatedHeaders } from '../sim-environment.js';
import type { CacheTier } from './cache-tier.js';
import type { CacheServerOptions } from './server-arguments.js';
import type { ServerLog } from './server-log.js';
import type { ServerMetrics } from './server-metrics.js';
import { configOf, statusOf } from './server-status.js';
import type { TierEndpoint } from './tier-endpoint.js';

/** Longest body a request may have; all real ones are tiny. */
const LONGEST_BODY = 64 * 1024;
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
  readonly log: ServerLog;
}

type Answer = { readonly status?: number; readonly json: unknown } | { readonly text: string; readonly type: string };
type Handler = (body: string) => Answer | Promise<Answer>;

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

function routesOf(options: HttpFrontendOptions): Readonly<Record<string, Readonly<Record<string, Handler>>>> {
  const { tier, endpoint, metrics, server, state } = options;
  const version = `${options.lmcacheVersion}-g${COMMIT_ID}`;
  const json = (value: unknown) => (): Answer => ({ json: value });
  const noL2: Handler = () =>
    tier.options.l2.length === 0
      ? { status: 400, json: { detail: 'no L2 adapters configured' } }
      : { json: { adapter: tier.options.l2[0]?.name, shared: false, entries: [], next_page_token: null } };
  return {
    '/': { GET: json({ status: 'ok', service: 'LMCache HTTP API' }) },
    '/healthcheck': { GET: json({ status: 'healthy' }) },
    '/status': { GET: () => ({ json: statusOf(tier, endpoint) }) },
    '/config': { GET: () => ({ json: configOf(server, options.instanceId) }) },
    '/version': { GET: json(version) },
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
    '/cache/clear': {
      POST: () => {
        tier.clear();
        return { json: { status: 'ok', cleared: { tier: 'l1' } } };
      },
    },
    '/cache/objects': { GET: noL2 },
    '/quota': { GET: json({ users: {} }) },
    '/periodic-threads-health': { GET: json({ healthy: true, unhealthy_count: 0, unhealthy_threads: [] }) },
    '/sim/control': {
      POST: (body) => {
        const result = applySimControl(state, body);
        if (result.kind === 'refused') return { status: 400, json: { error: result.message } };
        options.clock.setSpeed(state.speed);
        tier.disabled = state.fault.values.has('no-cache');
        return { json: result.view };
      },
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  routes: Readonly<Record<string, Readonly<Record<string, Handler>>>>,
  options: HttpFrontendOptions,
): Promise<void> {
  const path = new URL(request.url ?? '/', 'http://localhost').pathname;
  if (path !== '/sim/control' && options.faults.isOn('http-hang')) return;
  const body = await readBody(request);
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  const handler = route?.[request.method ?? ''];
  let result: Answer;
  if (body === null) result = { status: 413, json: { detail: 'Request body too large' } };
  else if (route === undefined) result = { status: 404, json: { detail: 'Not Found' } };
  else if (handler === undefined) result = { status: 405, json: { detail: 'Method Not Allowed' } };
  else if (isRefused(options.faults, path)) result = { status: 503, json: { detail: 'Service Unavailable' } };
  else result = await handler(body);
  const status = 'json' in result ? (result.status ?? 200) : 200;
  const [type, sound] =
    'json' in result ? ['application/json', JSON.stringify(result.json)] : [result.type, result.text];
  const text = path === '/sim/control' ? sound : spoilt(sound, options.faults);
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    ...simulatedHeaders(options.state),
  });
  response.end(text);
  const peer = `${request.socket.remoteAddress}:${request.socket.remotePort}`;
  if (path !== '/metrics' && path !== '/healthcheck') {
    options.log.uvicorn('INFO', `${peer} - "${request.method} ${path} HTTP/1.1" ${status}`);
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

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cors } from '../../simulator/http/cors.js';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

let server: ServedInProcess;
beforeAll(async () => {
  server = await serveInProcess(['--enable-request-id-headers'], { VLLM_API_KEY: 'secret' });
});
afterAll(() => server.stop());

const ask = (path: string, init: RequestInit = {}) => fetch(server.baseUrl + path, { redirect: 'manual', ...init });

describe('paths, as Starlette finds them', () => {
  it.each([
    ['GET', '/health/', '/health'],
    ['PUT', '/ping//?a=b', '/ping?a=b'],
    ['POST', '/tokenize/', '/tokenize'],
  ])('%s %s is redirected to %s', async (method, path, location) => {
    const response = await ask(path, { method });
    expect([response.status, response.headers.get('location')]).toEqual([307, server.baseUrl + location]);
  });

  it.each([
    ['GET', '/%76ersion', 200],
    ['GET', '/metrics/', 200],
    ['DELETE', '/metrics', 200],
    ['HEAD', '/docs', 200],
    ['POST', '/docs', 405],
    ['GET', '/redoc', 200],
    ['HEAD', '/openapi.json', 200],
    ['HEAD', '/health', 405],
    ['GET', '/nothing/', 404],
    ['GET', '/%zz', 404],
  ])('%s %s: %i', async (method, path, status) => {
    expect((await ask(path, { method })).status).toBe(status);
  });
});

describe('headers', () => {
  it('name the request where asked to, by its own name or a new one', async () => {
    const given = await ask('/health', { headers: { 'x-request-id': 'mine' } });
    expect(given.headers.get('x-request-id')).toBe('mine');
    expect((await ask('/health')).headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
  });

  it('ask for the key of VLLM_API_KEY on every guarded path, in any spelling of "Bearer"', async () => {
    for (const path of ['/v1/models', '/v2/x', '/inference/v1/generate']) expect((await ask(path)).status).toBe(401);
    expect((await ask('/v1/models', { method: 'OPTIONS' })).status).toBe(405);
    expect((await ask('/v1/models', { headers: { authorization: 'bearer secret' } })).status).toBe(200);
  });

  it('let pages of any origin in', async () => {
    const preflight = await ask('/v1/models', {
      method: 'OPTIONS',
      headers: { origin: 'http://page', 'access-control-request-method': 'GET' },
    });
    expect([preflight.status, await preflight.text()]).toEqual([200, 'OK']);
    expect(preflight.headers.get('access-control-allow-methods')).toBe('DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT');
    const plain = await ask('/health', { headers: { origin: 'http://page' } });
    expect(plain.headers.get('access-control-allow-origin')).toBe('*');
    expect((await ask('/health')).headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('Cors with origins, methods and headers of its own', () => {
  const cors = new Cors({ origins: ['http://a'], methods: ['GET'], headers: ['X-Own'], credentials: true });
  const asks = (origin: string, method: string, names: string) =>
    cors.preflight('OPTIONS', {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': names,
    });

  it('lets only these in', () => {
    expect(asks('http://a', 'GET', 'x-own, accept')).toEqual({
      status: 200,
      body: 'OK',
      headers: {
        vary: 'Origin',
        'access-control-allow-origin': 'http://a',
        'access-control-allow-methods': 'GET',
        'access-control-max-age': '600',
        'access-control-allow-headers': 'Accept, Accept-Language, Content-Language, Content-Type, X-Own',
        'access-control-allow-credentials': 'true',
      },
    });
    const refused = asks('http://b', 'PUT', 'x-other');
    expect([refused?.status, refused?.body]).toEqual([400, 'Disallowed CORS origin, method, headers']);
    expect(refused?.headers).not.toHaveProperty('access-control-allow-origin');
    expect(cors.preflight('GET', { origin: 'http://a', 'access-control-request-method': 'GET' })).toBeNull();
  });

  it('names the origin it lets in', () => {
    expect(cors.answerHeaders({ origin: 'http://a' })).toMatchObject({
      'access-control-allow-origin': 'http://a',
      vary: 'Origin',
    });
    expect(cors.answerHeaders({ origin: 'http://b' })).toEqual({ 'access-control-allow-credentials': 'true' });
  });
});

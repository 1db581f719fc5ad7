import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type CacheServerInProcess, serveCacheInProcess } from './cache-server-in-process.js';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const endpointSchema = z.object({ method: z.string(), path: z.string(), body: z.boolean() });
type Endpoint = z.infer<typeof endpointSchema>;
/** Of the recorded /openapi.json. */
const recorded = z
  .object({ engine: z.array(endpointSchema), cacheServer: z.array(endpointSchema) })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/vllm-0.26/endpoints.json', import.meta.url), 'utf8')));

let engine: ServedInProcess;
let cacheServer: CacheServerInProcess;

beforeAll(async () => {
  const l2 = JSON.stringify({ type: 'mock', max_size_gb: 1, mock_bandwidth_gb: 4 });
  cacheServer = await serveCacheInProcess(['--l1-size-gb', '1', '--l2-adapter', l2]);
  engine = await serveInProcess([], { VLLM_SERVER_DEV_MODE: '1' });
});

afterAll(async () => {
  await engine.stop();
  expect(await cacheServer.stop()).toBe(0);
});

/** What the real engine, too, answers with 500. */
const NO_WEIGHT_TRANSFER = 'Weight transfer not configured.';

/** Recorded endpoints that the server does not know, by a plain request each. */
async function missing(baseUrl: string, endpoints: readonly Endpoint[]): Promise<readonly string[]> {
  const unknown: string[] = [];
  for (const { method, path, body } of endpoints) {
    const response = await fetch(baseUrl + path.replace(/\{\w+\}/g, 'x'), {
      method,
      ...(body ? { body: '{}', headers: { 'content-type': 'application/json' } } : {}),
    });
    const text = await response.text();
    if (response.status === 405 || text === '{"detail":"Not Found"}') unknown.push(`${method} ${path}`);
    else if (!text.includes(NO_WEIGHT_TRANSFER)) expect(response.status, `${method} ${path}: ${text}`).not.toBe(500);
  }
  return unknown;
}

describe('every endpoint of the recorded servers', () => {
  it('is there on the cache server', async () => {
    expect(recorded.cacheServer).toHaveLength(29);
    expect(await missing(cacheServer.httpUrl, recorded.cacheServer)).toEqual([]);
  });

  it('is there on the engine', async () => {
    expect(recorded.engine).toHaveLength(44);
    expect(await missing(engine.baseUrl, recorded.engine)).toEqual([]);
  });
});

import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import type { LmcacheConnector } from '../../simulator/contracts.js';
import {
  type CacheServerInProcess,
  connectorOf,
  kvTransferConfig,
  serveCacheInProcess,
} from './cache-server-in-process.js';

const MODEL = 'Qwen/Qwen3-14B';
const IDS = Array.from({ length: 1000 }, (_, index) => index);
const CHUNK_BYTES = 256 * 163_840;

let cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps) await cleanUp();
  cleanUps = [];
});

async function start(args: readonly string[] = [], environment: Record<string, string> = {}) {
  const server = await serveCacheInProcess(args, environment);
  cleanUps.push(server.stop);
  return server;
}

async function ask({ httpUrl }: CacheServerInProcess, method: string, path: string, body?: unknown) {
  const init = {
    method,
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  };
  const response = await fetch(`${httpUrl}${path}`, init);
  const text = await response.text();
  const isJson = response.headers.get('content-type') === 'application/json';
  return { status: response.status, text, json: isJson ? JSON.parse(text) : null, headers: response.headers };
}

async function engineOf({ port }: CacheServerInProcess): Promise<LmcacheConnector> {
  const connector = connectorOf(kvTransferConfig(port));
  cleanUps.unshift(() => connector.close());
  await connector.lookup(IDS);
  return connector;
}

/** Field names all the way down, kinds instead of values. */
function formOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(formOf);
  if (typeof value !== 'object' || value === null) return value === null ? null : typeof value;
  return Object.entries(value).map(([name, item]) => [/^\d+$/.test(name) ? '<instance>' : name, formOf(item)]);
}

describe('recorded answers of LMCache 0.5.3', () => {
  it.each([
    ['get-', '/', 200],
    ['get-healthcheck', '/healthcheck', 200],
    ['get-version', '/version', 200],
    ['get-quota', '/quota', 200],
    ['get-periodic-threads-health', '/periodic-threads-health', 200],
    ['get-conf', '/conf', 404],
    ['get-api-healthcheck', '/api/healthcheck', 404],
    ['get-cache-objects', '/cache/objects', 503],
  ])('%s is given word for word', async (file, path, status) => {
    const wanted = readFileSync(new URL(`../fixtures/lmcache-0.5.3/${file}.txt`, import.meta.url), 'utf8');
    const answer = await ask(await start(), 'GET', path);
    expect(answer).toMatchObject({ status, text: wanted });
    expect(answer.headers.get('server')).toBe('uvicorn');
  });

  it.each(['status', 'config'])('/%s has the same fields of the same kinds in the same order', async (name) => {
    const wanted = readFileSync(new URL(`../fixtures/lmcache-0.5.3/get-${name}.txt`, import.meta.url), 'utf8');
    const server = await start();
    const engine = await engineOf(server);
    engine.store(IDS, 0);
    const { json } = await ask(server, 'GET', `/${name}`);
    expect(formOf(json)).toEqual(formOf(JSON.parse(wanted)));
  });

  it('/config shows what the command line said', async () => {
    const server = await start([
      '--gc-monitor-top-objects',
      '7',
      '--worker-reap-timeout-seconds',
      '9.5',
      '--disable-logging',
    ]);
    const { json } = await ask(server, 'GET', '/config');
    expect(json).toMatchObject({
      mp: { worker_reap_timeout_seconds: 9.5 },
      observability: { gc_monitor: { top_objects: 7 }, logging_enabled: false },
    });
  });
});

describe('the objects of the cache', () => {
  const L2 = ['--l2-adapter', '{"type":"mock","max_size_gb":10,"mock_bandwidth_gb":4}'];
  const key = (hash: string) => ({ chunk_hash_hex: hash, model_name: MODEL, kv_rank: 0 });

  async function withStored(): Promise<{ server: CacheServerInProcess; engine: LmcacheConnector; hashes: string[] }> {
    const server = await start(L2);
    const engine = await engineOf(server);
    engine.store(IDS, 0);
    const { json } = await vi.waitFor(async () => {
      const answer = await ask(server, 'GET', '/cache/objects');
      expect(answer.json.entries).toHaveLength(3);
      return answer;
    });
    return {
      server,
      engine,
      hashes: json.entries.map((entry: { key: { chunk_hash_hex: string } }) => entry.key.chunk_hash_hex),
    };
  }

  it('are listed in pages, of an adapter and a model', async () => {
    const { server, hashes } = await withStored();
    const first = await ask(server, 'GET', '/cache/objects?page_size=2');
    expect(first.json).toMatchObject({ adapter: 'mock', shared: false, next_page_token: '2' });
    expect(first.json.entries[0]).toEqual({
      key: { chunk_hash_hex: hashes[0], model_name: MODEL, kv_rank: 0, object_group_id: 0, cache_salt: '' },
      size_bytes: CHUNK_BYTES,
    });
    const second = await ask(server, 'GET', '/cache/objects?page_size=2&page_token=2&adapter=mock');
    expect(second.json).toMatchObject({ entries: [{ key: key(hashes[2] ?? '') }], next_page_token: null });
    expect((await ask(server, 'GET', '/cache/objects?model_name=Qwen')).json.entries).toEqual([]);
  });

  it.each([
    ['GET', '/cache/objects?tier=l1', undefined, 400, "tier 'l1' not supported; only 'l2'"],
    ['GET', '/cache/objects?adapter=s3', undefined, 404, "no L2 adapter with type_name='s3'"],
    ['GET', '/cache/objects?page_token=x', undefined, 400, "invalid literal for int() with base 10: 'x'"],
    ['DELETE', '/cache/objects', { keys: [key('xy')] }, 400, 'keys[0]: non-hexadecimal number found in fromhex() arg'],
    ['POST', '/cache/clear', { tier: 'l2' }, 400, "tier 'l2' not supported; only 'l1'"],
    [
      'GET',
      '/cache/prefetches/7',
      undefined,
      404,
      "unknown prefetch request_id='7' (already completed or never submitted)",
    ],
    ['POST', '/cache/checksums', { instance_id: 5 }, 404, 'instance_id 5 not registered'],
  ])('%s %s %j is answered %i %s', async (method, path, body, status, detail) => {
    const answer = await ask(await start(L2), method, path, body);
    expect(answer).toMatchObject({ status, json: { detail } });
  });

  it.each([
    ['DELETE', '/cache/objects', '', { type: 'missing', loc: ['body'], msg: 'Field required' }],
    ['DELETE', '/cache/objects', '{', { type: 'json_invalid', msg: 'JSON decode error' }],
    ['DELETE', '/cache/objects', '{}', { type: 'missing', loc: ['body', 'keys'], msg: 'Field required', input: {} }],
    [
      'POST',
      '/cache/prefetches',
      { model_name: MODEL, world_size: 1 },
      { type: 'missing', loc: ['body', 'token_ids'] },
    ],
    [
      'GET',
      '/cache/objects?tier=l3',
      undefined,
      { type: 'enum', loc: ['query', 'tier'], msg: "Input should be 'l1', 'l2' or 'all'" },
    ],
    ['GET', '/cache/objects?page_size=0', undefined, { loc: ['query', 'page_size'] }],
  ])("%s %s %j is refused with 422 and FastAPI's list", async (method, path, body, problem) => {
    const answer = await ask(await start(L2), method, path, body);
    expect(answer).toMatchObject({ status: 422, json: { detail: [problem] } });
  });

  it('are deleted from the tier that is named, and count as gone', async () => {
    const { server, engine, hashes } = await withStored();
    const [first = '', second = ''] = hashes;
    const fromL2 = await ask(server, 'DELETE', '/cache/objects', { keys: [key(first)] });
    expect(fromL2.json).toEqual({ deleted: 1, skipped: 0, ok: true });
    expect((await ask(server, 'GET', '/cache/objects')).json.entries).toHaveLength(2);
    // L1 has it still.
    expect(await engine.lookup(IDS)).toBe(768);
    const fromBoth = await ask(server, 'DELETE', '/cache/objects', { keys: [key(second)], tier: 'all' });
    expect(fromBoth.json).toEqual({ deleted: 2, skipped: 0, ok: true });
    expect(await engine.lookup(IDS)).toBe(256);
    const { json } = await ask(server, 'GET', '/status');
    expect(json.storage_manager.l1_manager.total_object_count).toBe(2);
    expect(json.storage_manager.l2_adapters[0].current_size_bytes).toBe(CHUNK_BYTES);
  });

  it('are fetched from L2 ahead of a request, to stay', async () => {
    const { server } = await withStored();
    await ask(server, 'POST', '/cache/clear');
    const wanted = { model_name: MODEL, world_size: 1, token_ids: IDS };
    const submitted = await ask(server, 'POST', '/cache/prefetches', wanted);
    expect(submitted).toMatchObject({ status: 202, json: { chunks: 3, status: 'submitted' } });
    const path = `/cache/prefetches/${submitted.json.request_id}`;
    await vi.waitFor(async () => {
      const done = await ask(server, 'GET', path);
      expect(done.json).toMatchObject({ status: 'completed', found_keys: 3, total_keys: 3 });
    });
    expect((await ask(server, 'GET', path)).status).toBe(404);
    expect((await ask(server, 'GET', '/status')).json.storage_manager.l1_manager.total_object_count).toBe(3);
    const short = await ask(server, 'POST', '/cache/prefetches', { ...wanted, token_ids: [1, 2] });
    expect(short).toMatchObject({ status: 202, json: { chunks: 0, status: 'noop' } });
    expect((await ask(server, 'POST', '/cache/prefetches', { ...wanted, model_name: 'other' })).status).toBe(503);
  });

  it('are shown by adapter', async () => {
    const answer = await ask(await start(L2), 'GET', '/config/adapters');
    const adapter = { index: 0, type_name: 'mock', tier: 'l2', primary: true, reconfigurable: false };
    expect(answer.json).toEqual({ adapters: [adapter] });
  });
});

describe('what the server tells of itself', () => {
  it('keeps quotas', async () => {
    const server = await start();
    expect((await ask(server, 'PUT', '/quota/alice', { limit_gb: 2 })).json).toMatchObject({
      limit_gb: 2,
      status: 'ok',
    });
    expect((await ask(server, 'GET', '/quota/alice')).json).toMatchObject({ limit_gb: 2, exists: true });
    expect((await ask(server, 'GET', '/quota')).json).toEqual({
      users: { alice: { limit_gb: 2, current_usage_gb: 0 } },
    });
    for (const body of ['x', {}, { limit_gb: 'much' }, { limit_gb: -1 }]) {
      expect((await ask(server, 'PUT', '/quota/bob', body)).status).toBe(400);
    }
    expect((await ask(server, 'DELETE', '/quota/alice')).json.status).toBe('removed');
    expect((await ask(server, 'DELETE', '/quota/alice')).json.status).toBe('not_found');
  });

  it('shows its threads and the environment that concerns it, never the rest', async () => {
    const server = await start([], { LMCACHE_TRACK_USAGE: 'false', HF_TOKEN: 'secret' });
    const { json } = await ask(server, 'GET', '/periodic-threads?level=medium');
    expect(json.summary).toMatchObject({ total_count: 3, by_level: { medium: { total: 2 } } });
    expect(json.threads).toHaveLength(2);
    expect((await ask(server, 'GET', '/periodic-threads?level=odd')).status).toBe(400);
    expect((await ask(server, 'GET', '/periodic-threads/lmcache-mp-worker-reaper')).json).toMatchObject({
      interval: 30,
    });
    expect((await ask(server, 'GET', '/threads?name=reaper')).text).toContain('Total threads: 1');
    const environment = await ask(server, 'GET', '/env');
    expect(JSON.parse(environment.text)).toEqual({ LMCACHE_TRACK_USAGE: 'false', SIM_SPEED: '1000' });
    expect(environment.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  });

  it('writes what the log levels let through', async () => {
    const server = await start();
    const module = 'lmcache.v1.multiprocess.modules.lmcache_driven_transfer';
    const path = `/loglevel?logger_name=${module}`;
    expect((await ask(server, 'GET', `${path}&level=loud`)).status).toBe(400);
    const set = await ask(server, 'GET', `${path}&level=warning`);
    expect(set.text).toBe(`Set ${module} level to WARNING (including all handlers)`);
    expect((await ask(server, 'GET', path)).text).toBe(`${module}: WARNING`);
    expect((await ask(server, 'GET', '/loglevel')).text).toContain(`${module}: WARNING\n`);
    const engine = await engineOf(server);
    engine.store(IDS, 0);
    await engine.lookup(IDS);
    expect(server.log.join('')).not.toContain('Stored');
  });
});

describe('the memory of L1', () => {
  const grown = ({ log }: CacheServerInProcess) => log.filter((line) => line.includes('LazyMemoryAllocator'));

  it('grows by 10 GiB after the server has begun to serve, with the recorded lines', async () => {
    const server = await start();
    await vi.waitFor(() => expect(grown(server)).toHaveLength(6));
    expect(grown(server)[0]).toMatch(
      /LMCache INFO: LazyMemoryAllocator: Expanded 10240 MB pinned memory, now total is 30720 MB \/ 81920 MB \(37\.5%\) \(lazy_memory_allocator\.py:300:/,
    );
    expect(grown(server)[5]).toContain('now total is 81920 MB / 81920 MB (100.0%)');
  });

  it('is whole at once with --no-l1-use-lazy', async () => {
    const server = await start(['--no-l1-use-lazy']);
    // Six steps of 4.7 ms would be over.
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(grown(server)).toEqual([]);
  });
});

describe('GET /metrics before the first store', () => {
  const page = z.object({ types: z.record(z.string(), z.string()), samples: z.array(z.string()) });
  const recorded = z
    .object({ plain: page, withL2: page })
    .parse(
      JSON.parse(
        readFileSync(new URL('../fixtures/lmcache-0.5.3/metrics-before-first-store.json', import.meta.url), 'utf8'),
      ),
    );

  /** The page's lines without values, as far as they are LMCache's. */
  const samplesOf = (text: string): readonly string[] =>
    text.split('\n').flatMap((line) => (line.startsWith('lmcache_') ? [line.slice(0, line.lastIndexOf(' '))] : []));

  it.each([
    ['plain', []],
    ['withL2', ['--l2-adapter', '{"type": "mock", "max_size_gb": 1, "mock_bandwidth_gb": 4}']],
  ] as const)('%s: shows what the recorded server showed, and nothing of lookups and stores', async (name, args) => {
    const server = await start(args);
    const { text } = await ask(server, 'GET', '/metrics');
    const { samples, types } = recorded[name];
    expect([...samplesOf(text)].sort()).toEqual(samples.filter((line) => line.startsWith('lmcache_')).sort());
    for (const [metric, type] of Object.entries(types)) expect(text).toContain(`# TYPE ${metric} ${type}\n`);
  });
});

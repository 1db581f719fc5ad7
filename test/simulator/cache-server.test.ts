import { connect, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { LmcacheConnector } from '../../simulator/contracts.js';
import { parseKvTransferConfig } from '../../simulator/lmcache/kv-transfer-config.js';
import type { ServerSpelling } from '../../simulator/lmcache/server-arguments.js';
import {
  type CacheServerInProcess,
  connectorOf,
  kvTransferConfig,
  launchCacheServer,
  serveCacheInProcess,
} from './cache-server-in-process.js';

const REQUIRED = ['--l1-size-gb', '80', '--eviction-policy', 'LRU'];
const IDS = Array.from({ length: 10_009 }, (_, index) => index);

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

function launch(spelling: ServerSpelling, args: readonly string[], environment: Record<string, string> = {}) {
  const server = launchCacheServer(spelling, args, environment);
  cleanUps.push(server.stop);
  return server;
}

async function start(
  options: { port?: number; args?: readonly string[]; environment?: Record<string, string> } = {},
): Promise<CacheServerInProcess> {
  const args = ['--host', '127.0.0.1', '--port', String(options.port ?? 0), ...(options.args ?? [])];
  const server = await serveCacheInProcess(args, options.environment);
  cleanUps.push(server.stop);
  return server;
}

function connectorTo(port: number, log: string[] = [], mqTimeoutSeconds = 10): LmcacheConnector {
  const connector = connectorOf(kvTransferConfig(port, mqTimeoutSeconds), { log: (line) => log.push(line) });
  cleanUps.push(() => connector.close());
  return connector;
}

async function get(server: CacheServerInProcess, path: string, method = 'GET', body?: string) {
  const init = body === undefined ? { method } : { method, body };
  const response = await fetch(`http://127.0.0.1:${server.httpPort}${path}`, init);
  return { status: response.status, text: await response.text(), headers: response.headers };
}

async function metric(server: CacheServerInProcess, name: string): Promise<number> {
  const { text } = await get(server, '/metrics');
  const values = text
    .split('\n')
    .filter((line) => line.startsWith(`lmcache_mp_${name}`) && /^[a-z0-9_]+[{ ]/i.test(line));
  return values.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Stores are notices: they are done when a later request on the same connection is answered. */
async function storeAndWait(connector: LmcacheConnector, ids: readonly number[]): Promise<number> {
  await connector.lookup(ids);
  connector.store(ids, 0);
  return connector.lookup(ids);
}

describe('the HTTP side of the simulated cache server', () => {
  it.each([
    ['GET', '/', 200, '{"status":"ok","service":"LMCache HTTP API"}'],
    ['GET', '/healthcheck', 200, '{"status":"healthy"}'],
    ['GET', '/version', 200, '"0.5.3-g140819c9"'],
    ['GET', '/quota', 200, '{"users":{}}'],
    ['GET', '/cache/objects', 503, '{"detail":"no L2 adapters configured"}'],
    ['GET', '/conf', 404, '{"detail":"Not Found"}'],
    ['GET', '/api/healthcheck', 404, '{"detail":"Not Found"}'],
    ['POST', '/healthcheck', 405, '{"detail":"Method Not Allowed"}'],
    ['POST', '/cache/clear', 200, '{"status":"ok","cleared":{"tier":"l1"}}'],
  ])('answers %s %s with %i %s, marked as simulated', async (method, path, status, text) => {
    const server = await start();
    const answer = await get(server, path, method);
    expect(answer).toMatchObject({ status, text });
    expect(answer.headers.get('x-lmcache-ci-simulated')).toBe('h200');
    expect(answer.headers.get('x-lmcache-ci-sim-speed')).toBe('1000');
  });

  it('tells its state and configuration in the fields of the real one', async () => {
    const server = await start();
    const connector = connectorTo(server.port);
    expect(await storeAndWait(connector, IDS)).toBe(9984);
    const status: unknown = JSON.parse((await get(server, '/status')).text);
    expect(status).toMatchObject({
      is_healthy: true,
      engine_type: 'MPCacheServer',
      chunk_size: 256,
      storage_manager: {
        l1_manager: { total_object_count: 39, memory_used_bytes: 39 * 41_943_040, memory_total_bytes: 85_899_345_920 },
        l1_eviction_controller: { eviction_policy: 'LRU', trigger_watermark: 0.8, eviction_ratio: 0.2 },
      },
      worker_liveness: { tracked_instances: 1 },
    });
    const config: unknown = JSON.parse((await get(server, '/config')).text);
    expect(config).toMatchObject({
      mp: { chunk_size: 256, max_workers: 1 },
      storage_manager: { l1_manager_config: { memory_config: { size_in_bytes: 85_899_345_920 } } },
    });
  });

  it('counts lookups, hits, writes, reads and loads under the recorded names, types and labels', async () => {
    const server = await start();
    const connector = connectorTo(server.port);
    await storeAndWait(connector, IDS);
    await connector.load(IDS, 9984);
    await connector.lookup(IDS);
    expect(await metric(server, 'lookup_requested_tokens_total')).toBe(3 * 9984);
    expect(await metric(server, 'lookup_hit_tokens_total')).toBe(2 * 9984);
    expect(await metric(server, 'l1_write_chunks_total')).toBe(39);
    expect(await metric(server, 'l1_read_chunks_total')).toBe(2 * 39);
    expect(await metric(server, 'num_chunks_loaded_total')).toBe(39);
    const { text } = await get(server, '/metrics');
    expect(text).toContain('# TYPE lmcache_mp_lookup_hit_tokens_total counter');
    expect(text).toContain('# TYPE lmcache_mp_l1_memory_usage_bytes gauge');
    expect(text).toContain('# TYPE lmcache_mp_l0_l1_load_throughput_GB_per_second histogram');
    expect(text).toMatch(/lmcache_mp_lookup_hit_tokens_total\{model_name="Qwen\/Qwen3-14B",cache_salt=""\} 19968/);
    expect(text).toMatch(/lmcache_mp_num_chunks_loaded_total\{worker_id="\d+",model_name="[^"]+",cache_salt=""\} 39/);
    expect(server.log.join('')).toMatch(/LMCache INFO: Stored 9984 tokens in 0\.\d{3} seconds/);
    expect(server.log.join('')).toMatch(/LMCache INFO: Retrieved 9984 tokens in 0\.\d{3} seconds/);
    await get(server, '/metrics/reset', 'POST');
    const { text: fresh } = await get(server, '/metrics');
    expect(fresh).not.toContain('lmcache_mp_lookup');
    // As the recorded server's page before its first store.
    expect(fresh).toContain('lmcache_mp_l2_store_adapters{state="active"} 0\n');
  });

  it('forgets everything on POST /cache/clear', async () => {
    const server = await start();
    const connector = connectorTo(server.port);
    await storeAndWait(connector, IDS);
    await get(server, '/cache/clear', 'POST');
    expect(await connector.lookup(IDS)).toBe(0);
  });
});

describe('faults of the cache server', () => {
  it('SIM_FAULT=no-cache looks up and never finds', async () => {
    const server = await start({ environment: { SIM_FAULT: 'no-cache' } });
    const connector = connectorTo(server.port);
    expect(await storeAndWait(connector, IDS)).toBe(0);
    expect(await metric(server, 'lookup_requested_tokens_total')).toBe(2 * 9984);
    expect(await metric(server, 'l1_write_chunks_total')).toBe(0);
  });

  it('POST /sim/control switches it on and off, and refuses nonsense', async () => {
    const server = await start();
    const connector = connectorTo(server.port);
    await storeAndWait(connector, IDS);
    const on = await get(server, '/sim/control', 'POST', '{"fault":"no-cache","speed":500}');
    expect(JSON.parse(on.text)).toEqual({ profile: 'h200', speed: 500, fault: 'no-cache' });
    expect(on.headers.get('x-lmcache-ci-sim-speed')).toBe('500');
    expect(await connector.lookup(IDS)).toBe(0);
    await get(server, '/sim/control', 'POST', '{"fault":"none"}');
    expect(await connector.lookup(IDS)).toBe(9984);
    for (const body of ['{"fault":"nonsense"}', '{"speed":-1}', '{"other":1}', 'x']) {
      expect((await get(server, '/sim/control', 'POST', body)).status, body).toBe(400);
    }
  });

  it('a server that dies means misses, and one that comes back is registered with anew', async () => {
    const log: string[] = [];
    const first = await start();
    const connector = connectorTo(first.port, log);
    expect(await storeAndWait(connector, IDS)).toBe(9984);
    expect(await first.stop()).toBe(0);
    expect(await connector.lookup(IDS)).toBe(0);
    expect((await connector.load(IDS, 9984)).loadedTokens).toBe(0);
    connector.store(IDS, 0);
    const second = await start({ port: first.port });
    await expect.poll(() => storeAndWait(connector, IDS), { timeout: 5000, interval: 50 }).toBe(9984);
    expect(await metric(second, 'l1_write_chunks_total')).toBe(39);
    expect(log.filter((line) => line.includes('is not reachable'))).toHaveLength(1);
    expect(log.filter((line) => line.startsWith('registered'))).toHaveLength(2);
  });

  it('a server that hangs longer than mq_timeout means misses', async () => {
    const silent: Server = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const log: string[] = [];
    const connector = connectorTo(typeof address === 'object' && address !== null ? address.port : 0, log, 1);
    expect(await connector.lookup(IDS)).toBe(0);
    expect(log.join()).toContain('did not answer within 1000 ms');
    silent.close();
  });

  it('a peer that speaks something else is disconnected, and the server goes on', async () => {
    const server = await start();
    const socket = connect(server.port, '127.0.0.1');
    const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    socket.on('error', () => {});
    socket.write('\xff\x00ZMTP greeting\n');
    await closed;
    expect(await storeAndWait(connectorTo(server.port), IDS)).toBe(9984);
  });
});

describe('the command line of the cache server', () => {
  const exitOf = async (
    spelling: ServerSpelling,
    args: readonly string[],
    environment: Record<string, string> = {},
  ) => {
    const server = launch(spelling, args, environment);
    return { code: await server.exit, errors: server.errors.join('') };
  };

  it.each<[string, ServerSpelling, readonly string[], RegExp]>([
    [
      'a missing size',
      'server',
      ['--eviction-policy', 'LRU'],
      /lmcache server: error: the following arguments are required: --l1-size-gb\n/,
    ],
    ['nothing at all', 'server', [], /the following arguments are required: --l1-size-gb, --eviction-policy\n/],
    [
      'an unknown flag',
      'server',
      [...REQUIRED, '--sim-speed', '10'],
      /lmcache: error: unrecognized arguments: --sim-speed 10\n/,
    ],
    [
      'an unknown policy',
      'server',
      ['--l1-size-gb', '8', '--eviction-policy', 'FIFO'],
      /invalid choice: 'FIFO' \(choose from 'LRU'/,
    ],
    [
      'a size that is no number',
      'server',
      ['--l1-size-gb', 'big', '--eviction-policy', 'LRU'],
      /invalid float value: 'big'/,
    ],
    [
      'a size of nothing',
      'server',
      ['--l1-size-gb', '0', '--eviction-policy', 'LRU'],
      /--l1-size-gb: must be above 0, got "0"/,
    ],
    ['a bad adapter', 'server', [...REQUIRED, '--l2-adapter', '{}'], /--l2-adapter/],
    [
      'HTTP in the module spelling',
      'module',
      [...REQUIRED, '--http-port', '8080'],
      /server.py: error: unrecognized arguments: --http-port/,
    ],
  ])('refuses %s with usage and exit code 2', async (_, spelling, args, message) => {
    const { code, errors } = await exitOf(spelling, args);
    expect(code).toBe(2);
    expect(errors).toMatch(/^usage: /);
    expect(errors).toMatch(message);
  });

  it.each([
    [{ SIM_PROFILE: 'h2000' }, /unknown profile "h2000". Did you mean "h200"/],
    [{ SIM_SPEED: 'fast' }, /SIM_SPEED is "fast"/],
    [{ SIM_FAULT: 'flood' }, /SIM_FAULT is "flood"/],
  ])('refuses %j with exit code 2', async (environment, message) => {
    const { code, errors } = await exitOf('server', REQUIRED, environment);
    expect(code).toBe(2);
    expect(errors).toMatch(message);
  });

  it('ends with 1 when a port is taken', async () => {
    const server = await start();
    const args = [...REQUIRED, '--host', '127.0.0.1', '--port', String(server.port), '--http-port', '0'];
    const { code, errors } = await exitOf('server', args);
    expect(code).toBe(1);
    expect(errors).toContain('EADDRINUSE');
  });

  it('ends with 0 when told to before it is ready', async () => {
    const server = launch('server', REQUIRED, { SIM_SPEED: '1' });
    expect(await server.stop()).toBe(0);
  });

  it('has no HTTP as a module, and takes the size under its older name there', async () => {
    const server = launch('module', [
      '--cpu-buffer-size',
      '80',
      '--max-workers',
      '4',
      '--host',
      '127.0.0.1',
      '--port',
      '0',
    ]);
    const { port, httpPort } = await server.whenReady;
    expect(httpPort).toBeNull();
    expect(await storeAndWait(connectorTo(port), IDS)).toBe(9984);
  });
});

describe('--kv-transfer-config', () => {
  it("reads the multiprocess connector with LMCache's defaults", () => {
    expect(parseKvTransferConfig('{"kv_connector":"LMCacheMPConnector","kv_role":"kv_both"}')).toEqual({
      connector: 'LMCacheMPConnector',
      loadFailurePolicy: 'fail',
      host: 'localhost',
      port: 5555,
      mqTimeoutSeconds: 300,
      heartbeatSeconds: 10,
    });
  });

  it.each([
    ['{', /is not JSON: "\{"/],
    ['{"kv_connector":"NixlConnector","kv_role":"kv_both"}', /Unsupported connector type: "NixlConnector"/],
    ['{"kv_connector":"LMCacheMPConnector"}', /"kv_role" is invalid/],
    [
      '{"kv_connector":"LMCacheMPConnector","kv_role":"kv_both","kv_connector_extra_config":{"lmcache.mp.port":0}}',
      /lmcache\.mp\.port/,
    ],
  ])('refuses %s', (json, message) => {
    expect(() => parseKvTransferConfig(json)).toThrow(message);
  });

  it('keeps an in-process tier of its own for LMCacheConnectorV1', async () => {
    const config = '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}';
    const local = connectorOf(config, { environment: { LMCACHE_CHUNK_SIZE: '128' } });
    local.store(IDS, 0);
    expect(await local.lookup(IDS)).toBe(78 * 128);
    const off = connectorOf(config, { environment: { LMCACHE_LOCAL_CPU: 'False' } });
    off.store(IDS, 0);
    expect(await off.lookup(IDS)).toBe(0);
    expect(() => connectorOf(config, { environment: { LMCACHE_CHUNK_SIZE: 'x' } })).toThrow(/chunk_size/);
  });
});

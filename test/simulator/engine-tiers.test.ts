import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { LmcacheConnector } from '../../simulator/contracts.js';
import { createConnector } from '../../simulator/lmcache/connector.js';
import { readEngineCacheConfig } from '../../simulator/lmcache/engine-config.js';
import { parseKvTransferConfig } from '../../simulator/lmcache/kv-transfer-config.js';
import { runLmServer } from '../../simulator/lmcache/lm-server.js';
import { loadProfile } from '../../simulator/profiles.js';

const IN_PROCESS = parseKvTransferConfig('{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}');
const KV_BYTES = 131_072;
const prompt = (tokens: number, first = 5): number[] => [first, ...new Array<number>(tokens - 1).fill(1)];
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A clock that the test moves, and an engine's connector on it. */
function engine(environment: Readonly<Record<string, string>>, speed = 1000) {
  const clock = { seconds: 0, now: () => clock.seconds };
  const connector = createConnector({
    config: IN_PROCESS,
    model: 'm',
    kvBytesPerToken: KV_BYTES,
    kvPoolTokens: 0,
    layers: 32,
    transfer: { ...loadProfile('h200').transfer, loadScatter: 0 },
    clock,
    speed,
    cacheDisabled: () => false,
    environment,
    log: () => {},
  });
  closers.push(() => connector.close());
  return { clock, connector };
}

async function lmServer(storage = 'cpu'): Promise<number> {
  const ending = new AbortController();
  let ended: Promise<number> = Promise.resolve(0);
  const port = await new Promise<number>((resolve, reject) => {
    ended = runLmServer(['127.0.0.1', '0', storage], {
      environment: { SIM_SPEED: '1000' },
      signal: ending.signal,
      write: () => {},
      writeError: reject,
      onReady: (ports) => resolve(ports.port),
    });
  });
  closers.push(() => {
    ending.abort();
    return ended;
  });
  return port;
}

/** Asks for a prompt, as engines do first, stores it, and waits until it can be found. */
async function stored(connector: LmcacheConnector, ids: readonly number[]): Promise<number> {
  await connector.lookup(ids);
  connector.store(ids, 0);
  await expect.poll(() => connector.lookup(ids)).toBeGreaterThan(0);
  return connector.lookup(ids);
}

async function loadSeconds(connector: LmcacheConnector, ids: readonly number[]): Promise<number> {
  return (await connector.load(ids, await connector.lookup(ids))).seconds;
}

describe("an engine's LMCache configuration", () => {
  const plain = {
    chunkTokens: 256,
    memory: { on: 'cpu', gib: 5 },
    disk: null,
    remote: null,
    pipelined: false,
    saveDecodeCache: false,
    evictionPolicy: 'LRU',
  };

  it.each([
    [{}, plain],
    [
      { LMCACHE_MAX_LOCAL_CPU_SIZE: '64', LMCACHE_CHUNK_SIZE: '128' },
      { chunkTokens: 128, memory: { gib: 64 } },
    ],
    [{ LMCACHE_LOCAL_CPU: 'False' }, { memory: null }],
    [
      { LMCACHE_LOCAL_DISK: 'file:///d', LMCACHE_MAX_LOCAL_DISK_SIZE: '20' },
      { memory: { gib: 5 }, disk: { path: '/d', gib: 20 } },
    ],
    [
      {
        LMCACHE_REMOTE_URL: 'lm://localhost:65431',
        LMCACHE_REMOTE_SERDE: 'cachegen',
        LMCACHE_SAVE_DECODE_CACHE: 'True',
      },
      { remote: { url: 'lm://localhost:65431', serde: 'cachegen' }, saveDecodeCache: true },
    ],
    [{ LMCACHE_EXTRA_CONFIG: '{"use_conversation_eviction": true}' }, { evictionPolicy: 'conversation' }],
    [
      {
        LMCACHE_EXTRA_CONFIG:
          '{"use_conversation_eviction": true, "conversation_eviction_config": {"reference_seconds": 60, "threshold": 3}}',
      },
      {
        conversationAware: { referenceSeconds: 60, returnWeight: 1 },
        ignored: ['conversation_eviction_config.threshold'],
      },
    ],
  ])('from the variables %j', (environment, wanted) => {
    expect(readEngineCacheConfig(environment)).toMatchObject(wanted);
  });

  it.each([
    ['local_device: cpu\nmax_local_cache_size: 30', { memory: { on: 'cpu', gib: 30 } }],
    ['local_device: cuda', { memory: { on: 'gpu' } }],
    ['local_device: file:///d\nmax_local_cache_size: 30', { memory: null, disk: { path: '/d', gib: 30 } }],
    [
      'local_device: null\nremote_url: redis-sentinel://localhost:26379,26380\nremote_serde: safetensor\npipelined_backend: true',
      { remote: { url: 'redis-sentinel://localhost:26379,26380', serde: 'safetensor' }, pipelined: true },
    ],
    ['use_layerwise: true', { ignored: ['use_layerwise'] }],
  ])('from a file with older and newer keys: %j', (yaml, wanted) => {
    const folder = mkdtempSync(join(tmpdir(), 'lmcache-config-'));
    closers.push(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'config.yaml');
    writeFileSync(file, yaml);
    expect(readEngineCacheConfig({ LMCACHE_CONFIG_FILE: file })).toMatchObject(wanted);
    expect(readEngineCacheConfig({ LMCACHE_CONFIG_FILE: file, LMCACHE_CHUNK_SIZE: '64' })).toMatchObject({
      ...wanted,
      chunkTokens: 64,
    });
  });

  it.each([
    [{ LMCACHE_CHUNK_SIZE: 'x' }, /"chunk_size" in LMCACHE_CHUNK_SIZE is "x"/],
    [{ LMCACHE_REMOTE_URL: 'http://x' }, /must begin with lm:\/\//],
    [{ LMCACHE_REMOTE_SERDE: 'zip' }, /"remote_serde"/],
    [{ LMCACHE_CONFIG_FILE: '/nowhere.yaml' }, /cannot read LMCACHE_CONFIG_FILE "\/nowhere.yaml"/],
  ])('%j is refused', (environment, message) => {
    expect(() => readEngineCacheConfig(environment)).toThrow(message);
  });
});

describe("an engine's own tiers", () => {
  const ids = prompt(16_384);

  it('are as quick as the copies they need: GPU memory, host memory, disk', async () => {
    const times: number[] = [];
    for (const environment of [
      { LMCACHE_LOCAL_DEVICE: 'cuda' },
      { LMCACHE_MAX_LOCAL_CPU_SIZE: '20' },
      { LMCACHE_LOCAL_CPU: 'False', LMCACHE_LOCAL_DISK: '/d' },
    ]) {
      const { clock, connector } = engine(environment);
      expect(await stored(connector, ids)).toBe(16_383);
      clock.seconds += 10;
      times.push(await loadSeconds(connector, ids));
    }
    const [gpu = 0, host = 0, disk = 0] = times;
    expect(gpu).toBeLessThan(host / 5);
    const { loadOverheadSeconds, loadBytesPerSecond } = loadProfile('h200').transfer;
    expect(host).toBeCloseTo(loadOverheadSeconds + (16_384 * KV_BYTES) / loadBytesPerSecond, 6);
    expect(disk).toBeCloseTo(host + 0.001 + (16_384 * KV_BYTES) / 6e9, 3);
  });

  it('keep in memory what was loaded from disk, and on disk what memory had no room for', async () => {
    const { clock, connector } = engine({ LMCACHE_MAX_LOCAL_CPU_SIZE: '1', LMCACHE_LOCAL_DISK: '/d' });
    // 1 GiB holds 8,192 tokens.
    for (const first of [1, 2]) {
      await stored(connector, prompt(8192, first));
      clock.seconds += 10;
    }
    const fromDisk = await loadSeconds(connector, prompt(8192, 1));
    clock.seconds += 10;
    const fromMemory = await loadSeconds(connector, prompt(8192, 1));
    expect(fromDisk).toBeGreaterThan(3 * fromMemory);
  });

  it('forget the end of a prompt before its beginning', async () => {
    const { connector } = engine({ LMCACHE_MAX_LOCAL_CPU_SIZE: '1' });
    await stored(connector, prompt(8192, 1));
    await stored(connector, prompt(4096, 2));
    const left = await connector.lookup(prompt(8192, 1));
    expect(left).toBeGreaterThanOrEqual(3584);
    expect(left).toBeLessThanOrEqual(4096);
  });

  it('store chunks of the answer only with save_decode_cache', () => {
    expect(engine({}).connector.storesDecoded).toBe(false);
    expect(engine({ LMCACHE_SAVE_DECODE_CACHE: 'true' }).connector.storesDecoded).toBe(true);
  });
});

describe('a remote store behind lm://', () => {
  const ids = prompt(4096);
  const remote = (port: number, more: Readonly<Record<string, string>> = {}) =>
    engine({ LMCACHE_LOCAL_CPU: 'False', LMCACHE_REMOTE_URL: `lm://127.0.0.1:${port}`, ...more });

  it('is shared by engines, and chunks are smaller and quicker with cachegen', async () => {
    const port = await lmServer();
    const plain = remote(port);
    expect(await stored(plain.connector, ids)).toBe(4095);
    const other = remote(port);
    expect(await other.connector.lookup(ids)).toBe(4095);
    const compressed = remote(port, { LMCACHE_REMOTE_SERDE: 'cachegen' });
    expect(await compressed.connector.lookup(ids)).toBe(0);
    await stored(compressed.connector, ids);
    const slow = await loadSeconds(other.connector, ids);
    expect(await loadSeconds(compressed.connector, ids)).toBeLessThan(0.6 * slow);
    expect(slow).toBeGreaterThan((4096 * KV_BYTES) / 2.5e9);
  });

  it('overlaps fetching and decoding with pipelined_backend', async () => {
    const port = await lmServer();
    const plain = remote(port, { LMCACHE_REMOTE_SERDE: 'safetensor' });
    await stored(plain.connector, ids);
    const pipelined = remote(port, { LMCACHE_REMOTE_SERDE: 'safetensor', LMCACHE_PIPELINED_BACKEND: 'true' });
    expect(await loadSeconds(pipelined.connector, ids)).toBeLessThan(0.8 * (await loadSeconds(plain.connector, ids)));
  });

  it('reads from its disk where it was told to', async () => {
    const memory = remote(await lmServer());
    const disk = remote(await lmServer('/some/folder'));
    await stored(memory.connector, ids);
    await stored(disk.connector, ids);
    const difference = (await loadSeconds(disk.connector, ids)) - (await loadSeconds(memory.connector, ids));
    expect(difference).toBeCloseTo((4096 * KV_BYTES) / 3e9, 3);
  });

  it('is found only once the transfer has ended', async () => {
    const slow = engine({ LMCACHE_LOCAL_CPU: 'False', LMCACHE_REMOTE_URL: `lm://127.0.0.1:${await lmServer()}` }, 2);
    slow.connector.store(ids, 0);
    expect(await slow.connector.lookup(ids)).toBe(0);
    await expect.poll(() => slow.connector.lookup(ids)).toBe(4095);
  });

  it('that is not there means misses', async () => {
    const { connector } = remote(1);
    connector.store(ids, 0);
    expect(await connector.lookup(ids)).toBe(0);
  });

  it.each([[['localhost']], [['localhost', 'x']], [['localhost', '1', 'cpu', 'more']]])(
    'its program refuses %j as the real one does',
    async (argv) => {
      let text = '';
      const options = { environment: {}, signal: new AbortController().signal, write: () => {} };
      const code = await runLmServer(argv, { ...options, writeError: (line) => (text += line) });
      expect([code, text]).toEqual([1, 'Usage: lmcache_server <host> <port> <storage>(default:cpu)\n']);
    },
  );
});

describe('a Redis', () => {
  const ids = prompt(2048);

  it('keeps chunks for engines that find it through its sentinels', async () => {
    const keys = new Map<string, string>();
    const master = await redis((name, [key = '', value = '']) => {
      if (name === 'SET') keys.set(key, value);
      return name === 'SET' ? '+OK\r\n' : `:${keys.has(key) ? 1 : 0}\r\n`;
    });
    const sentinel = await redis((name, args) =>
      name === 'SENTINEL' && args[1] === 'redismaster'
        ? `*2\r\n$9\r\n127.0.0.1\r\n$${String(master).length}\r\n${master}\r\n`
        : '-ERR unknown\r\n',
    );
    const { connector } = engine({
      LMCACHE_LOCAL_CPU: 'False',
      LMCACHE_REMOTE_URL: `redis-sentinel://127.0.0.1:1,${sentinel}`,
    });
    expect(await stored(connector, ids)).toBe(2047);
    expect(keys.size).toBe(8);
    expect([...keys.values()][0]).toBe(String(256 * KV_BYTES));
    const direct = engine({ LMCACHE_LOCAL_CPU: 'False', LMCACHE_REMOTE_URL: `redis://127.0.0.1:${master}` });
    expect(await direct.connector.lookup(ids)).toBe(2047);
    expect(await loadSeconds(direct.connector, ids)).toBeGreaterThan((2048 * KV_BYTES) / 1.2e9);
  });

  it('that answers with errors, or not at all, means misses', async () => {
    const angry = await redis(() => '-LOADING Redis is loading\r\n');
    for (const port of [angry, 1]) {
      const { connector } = engine({ LMCACHE_LOCAL_CPU: 'False', LMCACHE_REMOTE_URL: `redis://127.0.0.1:${port}` });
      connector.store(ids, 0);
      expect(await connector.lookup(ids)).toBe(0);
    }
  });
});

/** A server of Redis' protocol that answers as told; returns its port. */
async function redis(answer: (name: string, args: readonly string[]) => string): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('utf8');
      for (;;) {
        const count = Number(/^\*(\d+)\r\n/.exec(text)?.[1]);
        const parts = text.split('\r\n');
        if (Number.isNaN(count) || parts.length < 2 + 2 * count) return;
        const command = Array.from({ length: count }, (_, index) => parts[2 + 2 * index] ?? '');
        text = parts.slice(1 + 2 * count).join('\r\n');
        const [name = '', ...args] = command;
        socket.write(answer(name, args));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

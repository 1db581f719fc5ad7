import { RedisConnection } from './redis-connection.js';
import type { TierClient } from './tier-client.js';

export interface RedisTierOptions {
  /** `redis://host:port` or `redis-sentinel://host:port,port,host:port`. */
  readonly url: string;
  /** What the sentinels call the master. */
  readonly serviceName: string;
  /** Tells models and encodings apart in the keys. */
  readonly namespace: string;
  readonly chunkTokens: number;
  readonly chunkBytes: number;
  /** Wall milliseconds an answer may take. */
  readonly timeoutMs: number;
  readonly log: (line: string) => void;
}

const DEFAULT_PORT = 6379;
const DEFAULT_SENTINEL_PORT = 26379;
/** After a failed attempt the next one waits this long (wall). */
const RETRY_MS = 1000;

/**
 * Chunks in a real Redis: a key a chunk, whose value is the number of bytes it stands for; KV bytes are not sent. A
 * Redis that cannot be reached, or that fails, means misses.
 */
export function openRedisTier(options: RedisTierOptions): TierClient {
  const { chunkTokens, chunkBytes, log } = options;
  let connection: Promise<RedisConnection> | null = null;
  let failedAt = Number.NEGATIVE_INFINITY;
  const keyOf = (hash: string): string => `lmcache-ci:${options.namespace}:${hash}`;

  /** Answers to commands sent together; null without a Redis. */
  const ask = async (commands: readonly (readonly string[])[]): Promise<readonly unknown[] | null> => {
    if (commands.length === 0) return [];
    if (performance.now() - failedAt < RETRY_MS) return null;
    try {
      connection ??= openMaster(options);
      return await (await connection).send(commands);
    } catch (error) {
      failedAt = performance.now();
      const broken = connection;
      connection = null;
      void broken?.then((open) => open.close()).catch(() => undefined);
      log(`${options.url}: ${error instanceof Error ? error.message : String(error)}: counted as a miss`);
      return null;
    }
  };
  /** null without a Redis. */
  const held = async (hashes: readonly string[]): Promise<number | null> => {
    const answers = await ask(hashes.map((hash) => ['EXISTS', keyOf(hash)]));
    if (answers === null) return null;
    const miss = answers.findIndex((answer) => answer !== 1);
    return miss < 0 ? hashes.length : miss;
  };
  return {
    chunkTokens,
    lookup: async (hashes) => (await held(hashes)) ?? 0,
    async load(hashes, fromChunk, toChunk) {
      const chunks = await held(hashes.slice(fromChunk, toChunk));
      return { chunks: chunks ?? 0, l2Seconds: 0, isLost: chunks === null };
    },
    loaded: () => {},
    store(hashes, fromChunk) {
      void ask(hashes.slice(fromChunk).map((hash) => ['SET', keyOf(hash), String(Math.round(chunkBytes))]));
    },
    close: async () => {
      const open = connection;
      connection = null;
      await open?.then((last) => last.close()).catch(() => undefined);
    },
  };
}

async function openMaster({ url, serviceName, timeoutMs }: RedisTierOptions): Promise<RedisConnection> {
  const isSentinel = url.startsWith('redis-sentinel://');
  const [address] = addressesOf(url, isSentinel ? DEFAULT_SENTINEL_PORT : DEFAULT_PORT);
  if (!isSentinel) {
    if (address === undefined) throw new Error('no host in the address');
    return RedisConnection.open(address.host, address.port, timeoutMs);
  }
  let last: unknown = new Error('no sentinel in the address');
  for (const { host, port } of addressesOf(url, DEFAULT_SENTINEL_PORT)) {
    try {
      const sentinel = await RedisConnection.open(host, port, timeoutMs);
      const [master] = await sentinel.send([['SENTINEL', 'get-master-addr-by-name', serviceName]]);
      sentinel.close();
      if (!Array.isArray(master)) throw new Error(`sentinel ${host}:${port} knows no master "${serviceName}"`);
      return await RedisConnection.open(String(master[0]), Number(master[1]), timeoutMs);
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

/** `localhost:26379,26380,other:1` : a part that is only a port belongs to the host before it. */
function addressesOf(url: string, defaultPort: number): { readonly host: string; readonly port: number }[] {
  const addresses: { host: string; port: number }[] = [];
  let host = 'localhost';
  const list = url.replace(/^[a-z-]+:\/\//, '').replace(/\/.*$/, '');
  for (const part of list.split(',').filter((text) => text !== '')) {
    const [first = '', second] = part.split(':');
    const isPort = second === undefined && /^\d+$/.test(first);
    if (!isPort) host = first;
    addresses.push({ host, port: Number(isPort ? first : (second ?? defaultPort)) });
  }
  return addresses;
}

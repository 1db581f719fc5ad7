import type { LmcacheConnector } from '../../simulator/contracts.js';
import { createConnector } from '../../simulator/lmcache/connector.js';
import { parseKvTransferConfig } from '../../simulator/lmcache/kv-transfer-config.js';
import { runCacheServer } from '../../simulator/lmcache/run-server.js';
import type { ServerSpelling } from '../../simulator/lmcache/server-arguments.js';
import { loadProfile } from '../../simulator/profiles.js';

interface Ports {
  readonly port: number;
  readonly httpPort: number | null;
}

export interface LaunchedCacheServer {
  readonly whenReady: Promise<Ports>;
  readonly exit: Promise<number>;
  /** Ends it as SIGTERM would; the exit code. */
  stop(): Promise<number>;
  readonly log: readonly string[];
  readonly errors: readonly string[];
}

/** A simulated LMCache server inside the test's process, 1000 times as fast as the hardware. */
export function launchCacheServer(
  spelling: ServerSpelling,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): LaunchedCacheServer {
  const abort = new AbortController();
  const log: string[] = [];
  const errors: string[] = [];
  const { promise: whenReady, resolve } = withResolver<Ports>();
  const exit = runCacheServer(spelling, args, {
    environment: { SIM_SPEED: '1000', ...environment },
    signal: abort.signal,
    write: (line) => log.push(line),
    writeError: (line) => errors.push(line),
    onReady: resolve,
  });
  const stop = () => {
    abort.abort();
    return exit;
  };
  return { whenReady, exit, stop, log, errors };
}

export type CacheServerInProcess = Ports & Pick<LaunchedCacheServer, 'stop' | 'log'> & { readonly httpUrl: string };

/** `lmcache server` with 80 GB and LRU on free ports, once it serves. @throws when it ends before that */
export async function serveCacheInProcess(
  args: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<CacheServerInProcess> {
  const fixed = ['--l1-size-gb', '80', '--eviction-policy', 'LRU', '--port', '0', '--http-port', '0'];
  const { whenReady, exit, stop, log, errors } = launchCacheServer('server', [...fixed, ...args], environment);
  const ports = await Promise.race([
    whenReady,
    exit.then(() => {
      throw new Error(errors.join('\n'));
    }),
  ]);
  return { ...ports, httpUrl: `http://127.0.0.1:${ports.httpPort}`, stop, log };
}

/** `--kv-transfer-config` of an engine that uses the cache server on this port. */
export function kvTransferConfig(port: number, mqTimeoutSeconds = 10): string {
  return JSON.stringify({
    kv_connector: 'LMCacheMPConnector',
    kv_role: 'kv_both',
    kv_load_failure_policy: 'recompute',
    kv_connector_extra_config: {
      'lmcache.mp.host': 'tcp://127.0.0.1',
      'lmcache.mp.port': port,
      'lmcache.mp.mq_timeout': mqTimeoutSeconds,
    },
  });
}

/** The connector of a Qwen3-14B on an H200. @param config as `--kv-transfer-config` */
export function connectorOf(
  config: string,
  given: { readonly log?: (line: string) => void; readonly environment?: Readonly<Record<string, string>> } = {},
): LmcacheConnector {
  return createConnector({
    config: parseKvTransferConfig(config),
    model: 'Qwen/Qwen3-14B',
    kvBytesPerToken: 163_840,
    kvPoolTokens: 266_144,
    layers: 40,
    transfer: loadProfile('h200').transfer,
    clock: { now: () => 0 },
    speed: 1000,
    environment: given.environment ?? {},
    cacheDisabled: () => false,
    log: given.log ?? (() => undefined),
  });
}

function withResolver<Value>() {
  let resolve: (value: Value) => void = () => undefined;
  const promise = new Promise<Value>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

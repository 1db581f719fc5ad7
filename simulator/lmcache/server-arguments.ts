import { type FlagValue, type ParserSpec, parseArguments, UsageError } from '../argparse.js';
import { EVICTION_POLICIES, type EvictionPolicyName } from './eviction-policy.js';
import { type L2Adapter, parseL2Adapter } from './l2-adapter.js';
import { CACHE_SERVER_FLAGS, HTTP_FRONTEND_FLAGS, OLDER_MODULE_FLAGS } from './server-flags.js';

/** `lmcache server` or the older `python3 -m lmcache.v1.multiprocess.server`, which has no HTTP. */
export type ServerSpelling = 'server' | 'module';

export interface CacheServerOptions {
  readonly spelling: ServerSpelling;
  readonly host: string;
  readonly port: number;
  /** null: no HTTP (module spelling). */
  readonly http: { readonly host: string; readonly port: number } | null;
  readonly chunkTokens: number;
  readonly maxWorkers: number;
  readonly transferMode: string;
  readonly l1SizeGib: number;
  readonly l1Lazy: boolean;
  readonly l1InitialSizeGib: number;
  readonly evictionPolicy: EvictionPolicyName;
  readonly watermark: number;
  readonly evictionRatio: number;
  readonly l2StorePolicy: 'default' | 'skip_l1';
  readonly l2PrefetchPolicy: 'default' | 'retain';
  readonly l2PrefetchMaxInFlight: number;
  readonly l2Adapters: readonly L2Adapter[];
  readonly metricsEnabled: boolean;
  readonly metricsSampleRate: number;
  /** All flags that were given, by name, for /config. */
  readonly given: ReadonlyMap<string, FlagValue>;
}

const USAGE =
  '[-h] [--host HOST] [--port PORT] [options] --l1-size-gb L1_SIZE_GB --eviction-policy {LRU,ARC,IsolatedLRU,noop}';

const PARSERS: Readonly<Record<ServerSpelling, ParserSpec>> = {
  server: {
    program: 'lmcache server',
    usage: { own: `lmcache server ${USAGE}`, top: 'lmcache [-h] command ...', topProgram: 'lmcache' },
    flags: { ...CACHE_SERVER_FLAGS, ...HTTP_FRONTEND_FLAGS },
    maxPositionals: 0,
  },
  module: {
    program: 'server.py',
    usage: { own: `server.py ${USAGE}`, top: `server.py ${USAGE}`, topProgram: 'server.py' },
    flags: { ...CACHE_SERVER_FLAGS, ...OLDER_MODULE_FLAGS },
    maxPositionals: 0,
  },
};

/**
 * Parses the server's command line, its own name excluded.
 * @throws UsageError (exit code 2) with usage and message, as argparse prints them.
 */
export function parseServerArguments(spelling: ServerSpelling, argv: readonly string[]): CacheServerOptions {
  const parser = PARSERS[spelling];
  const { values } = parseArguments(parser, argv);
  const refuse = (message: string) =>
    new UsageError(`usage: ${parser.usage.own}\n${parser.program}: error: ${message}`);
  const older = values.has('cpu-buffer-size');
  const required: (string | false)[] = [
    !values.has('l1-size-gb') && !older && '--l1-size-gb',
    !values.has('eviction-policy') && !older && '--eviction-policy',
  ];
  const missing = required.filter((name) => name !== false);
  if (missing.length > 0) throw refuse(`the following arguments are required: ${missing.join(', ')}`);

  const number = (name: string, fallback: number) => numberOr(values.get(name), fallback);
  const text = (name: string, fallback: string) => textOr(values.get(name), fallback);
  const flag = (name: string) => values.get(name) === true;
  const port = (name: string, fallback: number) => {
    const value = number(name, fallback);
    if (value < 0 || value > 65535) throw refuse(`argument --${name}: "${value}" is not a port (0 to 65535)`);
    return value;
  };
  const positive = (name: string, fallback: number) => {
    const value = number(name, fallback);
    if (!(value > 0) || !Number.isFinite(value)) throw refuse(`argument --${name}: must be above 0, got "${value}"`);
    return value;
  };
  const fraction = (name: string, fallback: number) => {
    const value = number(name, fallback);
    if (!(value >= 0 && value <= 1)) throw refuse(`argument --${name}: must be between 0 and 1, got "${value}"`);
    return value;
  };
  return {
    spelling,
    host: text('host', 'localhost'),
    port: port('port', 5555),
    http: spelling === 'server' ? { host: text('http-host', '127.0.0.1'), port: port('http-port', 8080) } : null,
    chunkTokens: positive('chunk-size', 256),
    maxWorkers: positive('max-workers', 1),
    transferMode: text('supported-transfer-mode', 'auto'),
    l1SizeGib: positive(older && !values.has('l1-size-gb') ? 'cpu-buffer-size' : 'l1-size-gb', 0),
    l1Lazy: values.get('l1-use-lazy') !== false,
    l1InitialSizeGib: number('l1-init-size-gb', 20),
    evictionPolicy: EVICTION_POLICIES.find((name) => name === values.get('eviction-policy')) ?? 'LRU',
    watermark: fraction('eviction-trigger-watermark', 0.8),
    evictionRatio: fraction('eviction-ratio', 0.2),
    l2StorePolicy: text('l2-store-policy', 'default') === 'skip_l1' ? 'skip_l1' : 'default',
    l2PrefetchPolicy: text('l2-prefetch-policy', 'default') === 'retain' ? 'retain' : 'default',
    l2PrefetchMaxInFlight: positive('l2-prefetch-max-in-flight', 8),
    l2Adapters: adapters(values.get('l2-adapter'), refuse),
    metricsEnabled: !flag('disable-metrics') && !flag('disable-observability'),
    metricsSampleRate: fraction('metrics-sample-rate', 0.01),
    given: values,
  };
}

function adapters(value: FlagValue | undefined, refuse: (message: string) => Error): readonly L2Adapter[] {
  if (!Array.isArray(value)) return [];
  try {
    return value.map((json) => parseL2Adapter(String(json)));
  } catch (error) {
    throw refuse(`argument --l2-adapter: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function numberOr(value: FlagValue | undefined, fallback: number): number {
  return typeof value === 'number' ? value : fallback;
}

function textOr(value: FlagValue | undefined, fallback: string): string {
  return typeof value === 'string' ? value : fallback;
}

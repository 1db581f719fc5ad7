import type { SimulatedClock } from '../contracts.js';
import { CacheTier } from './cache-tier.js';
import type { EngineCacheConfig } from './engine-config.js';
import { localDiskAdapter } from './l2-adapter.js';
import { layered } from './layered-tier.js';
import { openRedisTier } from './redis-tier.js';
import { remoteTier } from './remote-tier.js';
import { TcpTierClient } from './tcp-tier-client.js';
import { inProcessTier, type TierClient } from './tier-client.js';
import { TIER_CONSTANTS } from './tier-constants.js';
import { NO_METRICS } from './tier-metrics.js';

const GIB = 1024 ** 3;
/** Part of what memory holds that leaves when the next chunk does not fit. */
const EVICTION_RATIO = 0.01;
const LM_DEFAULT_PORT = 65432;
/** Wall milliseconds after which a remote that does not answer counts as a miss. */
const REMOTE_TIMEOUT_MS = 3000;

export interface EngineTierOptions {
  readonly config: EngineCacheConfig;
  readonly model: string;
  readonly kvBytesPerToken: number;
  readonly kvPoolTokens: number;
  readonly layers: number;
  readonly clock: SimulatedClock;
  /** Simulated seconds a wall second. */
  readonly speed: () => number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** SIM_FAULT=no-cache. */
  readonly isDisabled: () => boolean;
  readonly log: (line: string) => void;
}

/** The tiers of an engine's own LMCache (LMCacheConnectorV1): memory, disk behind it, a remote store behind both. */
export function openEngineTier(options: EngineTierOptions): TierClient {
  const { config, model, kvBytesPerToken } = options;
  for (const key of config.ignored) options.log(`LMCache setting "${key}" is not simulated`);
  const memory = localTier(options);
  const local = memory === null ? null : inProcessTier(memory, model, kvBytesPerToken);
  const remote = config.remote === null ? null : openRemote(options, config.remote);
  return layered(config.chunkTokens, local, remote, options.isDisabled);
}

/** Memory and disk; null when there is neither. */
function localTier({ config, clock }: EngineTierOptions): CacheTier | null {
  const { memory, disk } = config;
  if (memory === null && disk === null) return null;
  return new CacheTier({
    clock,
    metrics: NO_METRICS,
    chunkTokens: config.chunkTokens,
    l1Bytes: (memory?.gib ?? config.stagingGib) * GIB,
    evictionPolicy: config.evictionPolicy,
    conversationAware: config.conversationAware,
    watermark: 1,
    evictionRatio: EVICTION_RATIO,
    // Without memory of its own everything passes through and leaves.
    storePolicy: memory === null ? 'skip_l1' : 'default',
    prefetchPolicy: memory === null ? 'default' : 'retain',
    l2: disk === null ? [] : [localDiskAdapter(disk.gib)],
    prefetchMaxInFlight: 8,
    tailFirst: true,
    sampleRate: 0,
  });
}

function openRemote(options: EngineTierOptions, remote: NonNullable<EngineCacheConfig['remote']>): TierClient {
  const { config, log, model } = options;
  const { chunkTokens } = config;
  const rawChunkBytes = options.kvBytesPerToken * chunkTokens;
  const serde = TIER_CONSTANTS.serde[remote.serde];
  const timing = {
    clock: options.clock,
    speed: options.speed,
    rawChunkBytes,
    serde,
    pipelined: config.pipelined,
  };
  if (!remote.url.startsWith('lm://')) {
    const inner = openRedisTier({
      url: remote.url,
      serviceName: options.environment.REDIS_SERVICE_NAME ?? 'redismaster',
      namespace: `${model}:${remote.serde}`,
      chunkTokens,
      chunkBytes: rawChunkBytes / serde.compression,
      timeoutMs: REMOTE_TIMEOUT_MS,
      log,
    });
    return remoteTier(inner, { ...timing, wire: TIER_CONSTANTS.redis });
  }
  const { hostname, port } = new URL(remote.url.replace(/^lm:/, 'http:'));
  const client = new TcpTierClient({
    host: hostname,
    port: port === '' ? LM_DEFAULT_PORT : Number(port),
    timeoutMs: REMOTE_TIMEOUT_MS,
    chunkTokens,
    registration: {
      instance: String(process.pid),
      // Differently encoded chunks are not each other's.
      model: `${model}:${remote.serde}`,
      kvBytesPerToken: options.kvBytesPerToken / serde.compression,
      kvPoolTokens: options.kvPoolTokens,
      layers: options.layers,
    },
    log,
  });
  void client.connect();
  return remoteTier(client, { ...timing, wire: TIER_CONSTANTS.lm });
}

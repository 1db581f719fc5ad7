import type { BlockReports, CacheTransferRates, LmcacheConnector, SimulatedClock } from '../contracts.js';
import { Scatter } from '../scatter.js';
import { chunkHashes } from './chunk-hash.js';
import { type EngineCacheConfig, readEngineCacheConfig } from './engine-config.js';
import { openEngineTier } from './engine-tier.js';
import { Heartbeat } from './heartbeat.js';
import type { KvTransferConfig } from './kv-transfer-config.js';
import { TcpTierClient } from './tcp-tier-client.js';
import type { TierClient } from './tier-client.js';
import { TIER_CONSTANTS } from './tier-constants.js';

/** Bounds of mq_timeout in wall time: shorter would turn a busy machine into misses, longer would stall tests. */
const SHORTEST_TIMEOUT_MS = 1000;
const LONGEST_TIMEOUT_MS = 3000;

export interface ConnectorOptions {
  readonly config: KvTransferConfig;
  readonly model: string;
  readonly kvBytesPerToken: number;
  readonly kvPoolTokens: number;
  readonly layers: number;
  readonly transfer: CacheTransferRates;
  readonly clock: SimulatedClock;
  /** Simulated seconds a wall second. */
  readonly speed: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** SIM_FAULT=no-cache, for the in-process tier; the server has its own switch. */
  readonly cacheDisabled: () => boolean;
  /** SIM_FAULT=slower-loads: a factor on the time of each load. */
  readonly loadSlowdown?: () => number;
  readonly log: (line: string) => void;
}

/**
 * The engine's connector to the cache tier: a server process (LMCacheMPConnector) or memory of its own
 * (LMCacheConnectorV1).
 * @throws Error when LMCache's own configuration file or variables are wrong.
 */
export function createConnector(options: ConnectorOptions): LmcacheConnector {
  const { config, model, kvBytesPerToken } = options;
  const failsLostLoads = config.loadFailurePolicy === 'fail';
  if (config.connector === 'LMCacheConnectorV1') {
    const engineConfig = readEngineCacheConfig(options.environment);
    const tier = openEngineTier({
      ...options,
      config: engineConfig,
      speed: () => options.speed,
      isDisabled: options.cacheDisabled,
    });
    const transfer = transferOf(engineConfig, options.transfer);
    const { saveDecodeCache: storesDecoded, asyncLoading } = engineConfig;
    return connectorTo(tier, { ...options, transfer, storesDecoded, loadsBlock: !asyncLoading, failsLostLoads });
  }
  const timeoutMs = (config.mqTimeoutSeconds * 1000) / options.speed;
  const heartbeat = new Heartbeat(config.heartbeatSeconds);
  let blockedSeconds = 0;
  const client = new TcpTierClient({
    host: config.host,
    port: config.port,
    timeoutMs: Math.min(Math.max(timeoutMs, SHORTEST_TIMEOUT_MS), LONGEST_TIMEOUT_MS),
    registration: {
      instance: String(process.pid),
      model,
      kvBytesPerToken,
      kvPoolTokens: options.kvPoolTokens,
      layers: options.layers,
    },
    log: options.log,
    onRegistered: () => heartbeat.start(options.clock.now()),
    onUnanswered: () => {
      const { host, port, mqTimeoutSeconds } = config;
      options.log(
        `LOOKUP to tcp://${host}:${port} timed out after ${mqTimeoutSeconds.toFixed(1)}s. Marking server as unhealthy.`,
      );
      blockedSeconds += mqTimeoutSeconds;
    },
  });
  void client.connect();
  const takeBlockedSeconds = () => {
    const taken = blockedSeconds;
    blockedSeconds = 0;
    return taken;
  };
  const blockReports: BlockReports = {
    sampleRate: () => client.blockSampleRate,
    report: (ages) => client.reportBlocks(ages),
  };
  const lossNoticedAt = (time: number) => heartbeat.noticesAt(time);
  const connector = connectorTo(client, { ...options, failsLostLoads, lossNoticedAt });
  return Object.assign(connector, { takeBlockedSeconds, blockReports });
}

/** Copies within the GPU are quicker than those over PCIe. */
function transferOf({ memory }: EngineCacheConfig, transfer: CacheTransferRates): CacheTransferRates {
  if (memory?.on !== 'gpu') return transfer;
  const { bytesPerSecond, requestSeconds } = TIER_CONSTANTS.gpuMemory;
  return {
    ...transfer,
    loadBytesPerSecond: bytesPerSecond,
    storeBytesPerSecond: bytesPerSecond,
    loadOverheadSeconds: requestSeconds,
  };
}

export interface CopyOptions {
  readonly kvBytesPerToken: number;
  readonly model: string;
  readonly transfer: CacheTransferRates;
  readonly clock: SimulatedClock;
  /** A factor on the time of each load; 1 if left out. */
  readonly loadSlowdown?: () => number;
  /** Chunks of the answer are stored too; true if left out. */
  readonly storesDecoded?: boolean;
  /** The engine waits for each load; false if left out. */
  readonly loadsBlock?: boolean;
  /** A request whose load nobody answers ends with an error; it is computed if left out. */
  readonly failsLostLoads?: boolean;
  /** When the engine learns that what it asked for at `time` is lost, in simulated seconds; at once if left out. */
  readonly lossNoticedAt?: (time: number) => number;
}

/** Hashing and the GPU's copy streams (one in, one out, each first come first served) in front of any tier. */
export function connectorTo(tier: TierClient, options: CopyOptions): LmcacheConnector {
  const { clock, transfer, kvBytesPerToken } = options;
  let loadStreamFreeAt = 0;
  const scatter = new Scatter(transfer.loadScatter);
  const hash = (tokenIds: readonly number[]) => chunkHashes(tokenIds, tier.chunkTokens, options.model);
  const bytesOf = (chunks: number) => chunks * tier.chunkTokens * kvBytesPerToken;
  return {
    get chunkTokens() {
      return tier.chunkTokens;
    },
    storesDecoded: options.storesDecoded ?? true,
    loadsBlock: options.loadsBlock ?? false,
    async lookup(tokenIds) {
      const hashes = hash(tokenIds);
      if (hashes.length === 0) return 0;
      const chunks = await tier.lookup(hashes);
      return Math.max(0, Math.min(chunks * tier.chunkTokens, tokenIds.length - 1));
    },
    async load(tokenIds, hitTokens, localTokens = 0, at = clock.now(), besideSteps = false) {
      const fromChunk = Math.floor(localTokens / tier.chunkTokens);
      const toChunk = Math.ceil(hitTokens / tier.chunkTokens);
      const wanted = toChunk - fromChunk;
      if (wanted <= 0) return { seconds: 0, loadedTokens: hitTokens };
      const { chunks, l2Seconds, isLost = false } = await tier.load(hash(tokenIds), fromChunk, toChunk);
      if (isLost) {
        const seconds = Math.max(0, (options.lossNoticedAt?.(clock.now()) ?? at) - at);
        return { seconds, loadedTokens: localTokens, failed: options.failsLostLoads ?? false };
      }
      if (chunks === 0) return { seconds: 0, loadedTokens: localTokens };
      const contention = besideSteps ? 1 + transfer.loadSlowdownBesideSteps : 1;
      const slowdown = scatter.next() * (options.loadSlowdown?.() ?? 1);
      const copySeconds =
        slowdown * (transfer.loadOverheadSeconds + (contention * bytesOf(chunks)) / transfer.loadBytesPerSecond);
      const startAt = Math.max(at + slowdown * l2Seconds, loadStreamFreeAt);
      loadStreamFreeAt = startAt + copySeconds;
      tier.loaded(chunks, copySeconds);
      const loadedTokens = chunks >= wanted ? hitTokens : (fromChunk + chunks) * tier.chunkTokens;
      return { seconds: loadStreamFreeAt - at, loadedTokens: Math.max(loadedTokens, localTokens) };
    },
    store(tokenIds, fromToken) {
      const hashes = hash(tokenIds);
      const fromChunk = Math.floor(fromToken / tier.chunkTokens);
      const chunks = hashes.length - fromChunk;
      if (chunks > 0) tier.store(hashes, fromChunk, bytesOf(chunks) / transfer.storeBytesPerSecond);
    },
    close: () => tier.close(),
  };
}

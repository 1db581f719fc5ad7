import type { LmcacheConnector, ModelShape, Profile } from '../contracts.js';
import { CacheTier, type CacheTierOptions } from '../lmcache/cache-tier.js';
import { connectorTo } from '../lmcache/connector.js';
import type { L2Adapter } from '../lmcache/l2-adapter.js';
import { inProcessTier } from '../lmcache/tier-client.js';
import { NO_METRICS } from '../lmcache/tier-metrics.js';
import { createVirtualEngine, type VirtualEngine } from './virtual-serving.js';

const GIB = 1024 ** 3;

export interface StudyEngineOptions {
  readonly profile: Profile;
  readonly model: ModelShape;
  /** With an LMCache server (`lmcache`) or without (`baseline`). */
  readonly engine: 'baseline' | 'lmcache';
  /** As --gpu-memory-utilization; 0.5 if left out, as the suite launches large GPUs. */
  readonly gpuMemoryUtilization?: number;
  readonly tensorParallelSize?: number;
  /** As --num-gpu-blocks-override; by the memory if left out. */
  readonly blockCount?: number;
  /** The LMCache server's L1; 80 if left out. */
  readonly l1SizeGib?: number;
  /** The server's second level; its policies are then those of a pass-through L1 (skip_l1, noop). */
  readonly l2?: readonly L2Adapter[];
}

/** An engine in virtual time with the limits that the server would have: the same scheduler, tiers and step times. */
export function openStudyEngine(options: StudyEngineOptions): VirtualEngine {
  const { profile, model, engine } = options;
  const tensorParallelSize = options.tensorParallelSize ?? 1;
  const stepTime = profile.stepTime(model, { connector: engine === 'lmcache', tensorParallelSize });
  const gpuMemoryUtilization = options.gpuMemoryUtilization ?? 0.5;
  const { kvBytesPerToken } = stepTime;
  const connect = (clock: CacheTierOptions['clock']): LmcacheConnector => {
    const l2 = options.l2 ?? [];
    const tier = new CacheTier({
      clock,
      metrics: NO_METRICS,
      chunkTokens: 256,
      l1Bytes: (options.l1SizeGib ?? 80) * GIB,
      evictionPolicy: l2.length > 0 ? 'noop' : 'LRU',
      watermark: 0.8,
      evictionRatio: 0.2,
      storePolicy: l2.length > 0 ? 'skip_l1' : 'default',
      prefetchPolicy: 'default',
      l2,
      prefetchMaxInFlight: 8,
      sampleRate: 0,
    });
    const client = inProcessTier(tier, model.name, kvBytesPerToken);
    return connectorTo(client, { kvBytesPerToken, model: model.name, transfer: profile.transfer, clock });
  };
  return createVirtualEngine({
    stepTime,
    limits: {
      maxNumBatchedTokens: profile.maxNumBatchedTokens,
      maxNumSeqs: profile.maxNumSeqs,
      maxModelLen: model.maxModelLen,
      blockTokens: profile.blockTokens,
      blockCount:
        options.blockCount ?? stepTime.kvPoolTokens({ gpuMemoryUtilization, tensorParallelSize }) / profile.blockTokens,
      prefixCaching: true,
    },
    ...(engine === 'baseline' ? {} : { connector: connect }),
  });
}

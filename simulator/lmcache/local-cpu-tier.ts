import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import type { SimulatedClock } from '../contracts.js';
import { CacheTier } from './cache-tier.js';
import { NO_METRICS } from './tier-metrics.js';

const GIB = 1024 ** 3;
const booleanText = z
  .union([z.boolean(), z.string()])
  .transform((value) =>
    typeof value === 'boolean' ? value : ['1', 'true', 'yes', 'on'].includes(value.toLowerCase()),
  );
const configSchema = z.looseObject({
  chunk_size: z.coerce.number().int().positive().default(256),
  local_cpu: booleanText.default(true),
  max_local_cpu_size: z.coerce.number().nonnegative().default(5),
});

/**
 * The host-memory tier of an in-process LMCacheConnectorV1, from LMCACHE_CONFIG_FILE (YAML) or, without one,
 * LMCACHE_CHUNK_SIZE, LMCACHE_LOCAL_CPU and LMCACHE_MAX_LOCAL_CPU_SIZE (GiB). L2 settings are not simulated here.
 * @throws Error naming the file or the setting that is wrong.
 */
export function createLocalCpuTier(
  environment: Readonly<Record<string, string | undefined>>,
  clock: SimulatedClock,
): CacheTier {
  const file = environment.LMCACHE_CONFIG_FILE;
  const raw = file
    ? readConfigFile(file)
    : {
        chunk_size: environment.LMCACHE_CHUNK_SIZE,
        local_cpu: environment.LMCACHE_LOCAL_CPU,
        max_local_cpu_size: environment.LMCACHE_MAX_LOCAL_CPU_SIZE,
      };
  const parsed = configSchema.safeParse(raw);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(
      `LMCache setting "${issue?.path.join('.') ?? ''}" in ${file ? `"${file}"` : 'LMCACHE_*'}: ${issue?.message ?? 'invalid'}`,
    );
  }
  const { chunk_size, local_cpu, max_local_cpu_size } = parsed.data;
  const tier = new CacheTier({
    clock,
    metrics: NO_METRICS,
    chunkTokens: chunk_size,
    l1Bytes: max_local_cpu_size * GIB,
    evictionPolicy: 'LRU',
    watermark: 0.8,
    evictionRatio: 0.2,
    storePolicy: 'default',
    prefetchPolicy: 'default',
    l2: [],
    prefetchMaxInFlight: 8,
    sampleRate: 0,
  });
  tier.disabled = !local_cpu;
  return tier;
}

function readConfigFile(file: string): unknown {
  try {
    return parseYaml(readFileSync(file, 'utf8')) ?? {};
  } catch (error) {
    throw new Error(
      `cannot read LMCACHE_CONFIG_FILE "${file}": ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

import { z } from 'zod';
import { TIER_CONSTANTS } from './tier-constants.js';

const GIB = 1024 ** 3;
/** Recorded with the mock adapter at 4 GiB/s: 4.14 GB/s for requests of 1.64 GB, so 14 ms each beside the bandwidth. */
const L2_REQUEST_SECONDS = 0.014;
/** A local NVMe drive; an estimate, used where an adapter's JSON names no bandwidth. */
const DEFAULT_FS_BANDWIDTH_GIB = 3;

const mockSchema = z.looseObject({
  type: z.literal('mock'),
  max_size_gb: z.number().positive(),
  mock_bandwidth_gb: z.number().positive(),
});
const fsSchema = z.looseObject({
  type: z.enum(['fs', 'fs_native']),
  base_path: z.string().min(1),
  max_capacity_gb: z.number().positive().optional(),
  bandwidth_gb: z.number().positive().optional(),
});
const adapterSchema = z.discriminatedUnion('type', [mockSchema, fsSchema]);

/** A second-level store of the simulated server: sizes and times, no bytes. */
export interface L2Adapter {
  readonly name: string;
  readonly className: string;
  readonly capacityBytes: number;
  readonly bytesPerSecond: number;
  readonly writeBytesPerSecond: number;
  /** Fixed part of each fetch. */
  readonly requestSeconds: number;
  /** Chunk keys with their bytes. */
  readonly stored: Map<string, number>;
  usedBytes: number;
  /** A full one makes room by forgetting what was used longest ago; otherwise it takes no more. */
  readonly evicts: boolean;
  /** Fetches wait for each other; otherwise each has the bandwidth to itself, as with the real mock adapter, which sleeps a request. */
  readonly queues: boolean;
  freeAt: number;
}

/**
 * Reads the JSON of `--l2-adapter`.
 * @throws Error with what is wrong; `mock`, `fs` and `fs_native` are simulated.
 */
export function parseL2Adapter(json: string): L2Adapter {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new Error(`--l2-adapter is not JSON: "${json}"`);
  }
  const parsed = adapterSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue === undefined || issue.path.length === 0 ? '' : ` at "${issue.path.join('.')}"`;
    throw new Error(
      `--l2-adapter "${json}"${where}: ${issue?.message ?? 'invalid'}; simulated are mock, fs and fs_native`,
    );
  }
  const config = parsed.data;
  const [capacityGib, bandwidthGib] =
    config.type === 'mock'
      ? [config.max_size_gb, config.mock_bandwidth_gb]
      : [config.max_capacity_gb ?? Number.POSITIVE_INFINITY, config.bandwidth_gb ?? DEFAULT_FS_BANDWIDTH_GIB];
  return {
    name: config.type,
    className: { mock: 'MockL2Adapter', fs: 'FSL2Adapter', fs_native: 'FSNativeL2Adapter' }[config.type],
    capacityBytes: capacityGib * GIB,
    bytesPerSecond: bandwidthGib * GIB,
    writeBytesPerSecond: bandwidthGib * GIB,
    requestSeconds: L2_REQUEST_SECONDS,
    evicts: false,
    queues: false,
    freeAt: 0,
    stored: new Map(),
    usedBytes: 0,
  };
}

/** The disk of an engine's own LMCache: one drive, whose oldest chunks make room for new ones. */
export function localDiskAdapter(gib: number): L2Adapter {
  const { readBytesPerSecond, requestSeconds } = TIER_CONSTANTS.localDisk;
  return {
    name: 'local_disk',
    className: 'LocalDiskBackend',
    capacityBytes: gib * GIB,
    bytesPerSecond: readBytesPerSecond,
    writeBytesPerSecond: TIER_CONSTANTS.localDisk.writeBytesPerSecond,
    requestSeconds,
    stored: new Map(),
    usedBytes: 0,
    evicts: true,
    queues: true,
    freeAt: 0,
  };
}

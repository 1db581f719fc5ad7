import { z } from 'zod';
import constants from '../profiles/tiers.json' with { type: 'json' };

const sourced = z
  .strictObject({ value: z.number().positive(), source: z.string().min(1) })
  .transform(({ value }) => value);
const serde = z.strictObject({
  /** Raw bytes by stored bytes. */
  compression: sourced,
  /** Raw bytes a second. */
  encodeBytesPerSecond: sourced,
  decodeBytesPerSecond: sourced,
});

/** Bandwidths and latencies of the tiers that no recording shows, each with its source in profiles/tiers.json. */
export const TIER_CONSTANTS = z
  .strictObject({
    localDisk: z.strictObject({ readBytesPerSecond: sourced, writeBytesPerSecond: sourced, requestSeconds: sourced }),
    gpuMemory: z.strictObject({ bytesPerSecond: sourced, requestSeconds: sourced }),
    lm: z.strictObject({ bytesPerSecond: sourced, requestSeconds: sourced, diskBytesPerSecond: sourced }),
    redis: z.strictObject({ bytesPerSecond: sourced, requestSeconds: sourced }),
    serde: z.strictObject({ naive: serde, safetensor: serde, cachegen: serde }),
  })
  .parse(constants);

export type SerdeName = keyof typeof TIER_CONSTANTS.serde;

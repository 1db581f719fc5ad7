import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import type { EngineKind } from './cases.js';

/** Stands beside the recordings of a folder, and says what they are of. */
export const DESCRIPTION = 'recording.json';

const blocks = z.int().positive();
const descriptionSchema = z.looseObject({
  model: z.string().min(1).optional(),
  /** Blocks of KV that the engines had, as vLLM's log and `vllm:cache_config_info` have them; one number is each one's. */
  numGpuBlocks: z.union([blocks, z.object({ baseline: blocks.optional(), lmcache: blocks.optional() })]).optional(),
  /** The cache server's --l1-size-gb (GiB). */
  l1SizeGb: z.number().positive().optional(),
  /** The cache server's second level, as the JSON of --l2-adapter. */
  l2Adapter: z.looseObject({}).optional(),
  /** What a simulator says of itself, if one was recorded; null, false or left out: real hardware. */
  simulated: z.union([z.null(), z.boolean(), z.string(), z.looseObject({ profile: z.string() })]).optional(),
  /** What each call of `simulate record` has recorded. */
  recordings: z.array(z.looseObject({})).optional(),
});
export type Description = z.infer<typeof descriptionSchema>;

/** What a folder's `recording.json` says; nothing where there is none. @throws Error naming the file and what is wrong in it. */
export function readDescription(folder: string): Description {
  const file = path.join(folder, DESCRIPTION);
  if (!existsSync(file)) return {};
  return explained(`"${file}"`, () => descriptionSchema.parse(JSON.parse(readFileSync(file, 'utf8'))));
}

/** Profile of the simulator that was recorded; null: real hardware. */
export function simulatorOf({ simulated }: Pick<Description, 'simulated'>): string | null {
  if (simulated === undefined || simulated === null || simulated === false) return null;
  if (simulated === true) return 'unknown';
  return typeof simulated === 'string' ? simulated : simulated.profile;
}

/** Blocks of KV of each engine that the description tells of. */
export function blockCountsOf({ numGpuBlocks = {} }: Description): {
  readonly [engine in EngineKind]?: number | undefined;
} {
  return typeof numGpuBlocks === 'number' ? { baseline: numGpuBlocks, lmcache: numGpuBlocks } : numGpuBlocks;
}

/** @throws Error that says where */
export function explained<T>(where: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : error instanceof Error ? error.message : error;
    throw new Error(`${where}: ${why}`);
  }
}

import { z } from 'zod';

/** Raised when a reader of older files would misread newer ones. */
export const cacheSimulationSchemaVersion = 1;

const count = z.int().nonnegative();
const share = z.number().min(0).max(1);
const seconds = z.number().nonnegative();

/** What a server log says was so, as far as it goes. Sums over the log. */
export const serverLogFactsSchema = z.object({
  /** Lookups that name their prompt's length, and those of them that name conversation and turn. */
  lookups: count,
  namedLookups: count,
  lookupTokens: count,
  hitTokens: count,
  storedTokens: count,
  retrievedTokens: count,
  /** Chunks that the cache server found, by tier. */
  l1Chunks: count,
  l2Chunks: count,
  evictions: count,
  /** null: the log does not say. */
  chunkTokens: count.nullable(),
});

/** `*.cache-simulation.json`: hit rates over cache size by eviction policy, computed offline from a trace. */
export const cacheSimulationSchema = z.object({
  schemaVersion: z.literal(cacheSimulationSchemaVersion),
  /** No server was measured. */
  simulated: z.literal(true),
  trace: z.object({
    path: z.string(),
    /** `columnar`, or the form it was read from. */
    format: z.string(),
    requests: count,
    /** Beyond the longest context. */
    skippedRequests: count,
    conversations: count,
    /** Full chunks of all prompts. */
    lookups: count,
    /** Chunks looked up or stored. */
    accesses: count,
    /** What a cache without limit holds in the end. */
    distinctChunks: count,
    /** Of `lookups`: hits of a cache without limit. */
    reusedLookups: count,
    promptTokens: count,
    spanSeconds: seconds,
    /** What was left out or mended while reading, with how often. */
    notes: z.array(z.object({ note: z.string(), count })),
  }),
  options: z.object({
    chunkTokens: count,
    storeAnswers: z.boolean(),
    maxContextTokens: count.nullable(),
    kvBytesPerToken: z.number().positive(),
    /** Of the conversation-aware policy. */
    referenceSeconds: seconds,
    returnWeight: z.number().nonnegative(),
  }),
  /** Empty where the source names no requests. */
  curves: z.array(
    z.object({
      policy: z.enum(['lru', 'fifo', 'conversation', 'belady']),
      points: z.array(
        z.object({
          sizeChunks: count,
          /** GiB of KV cache at `kvBytesPerToken`. */
          sizeGb: z.number().nonnegative(),
          hits: count,
          /** hits / lookups. */
          hitRate: share,
        }),
      ),
      seconds,
      accessesPerSecond: z.number().nonnegative(),
    }),
  ),
  /** null: the source is no server log. */
  serverLog: serverLogFactsSchema.nullable(),
  /** For reading the source into columns; 0 where it was columnar. */
  convertSeconds: seconds,
});
export type CacheSimulationRecord = z.infer<typeof cacheSimulationSchema>;

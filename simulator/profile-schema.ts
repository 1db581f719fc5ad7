import { z } from 'zod';

/** A number of a profile with where it comes from. */
const sourced = z.strictObject({ value: z.number().nonnegative(), source: z.string().min(1) });

/** Files of simulator/profiles: SI units; efficiencies are fractions of the data sheet's peak. */
export const profileFileSchema = z.strictObject({
  name: z.string(),
  description: z.string(),
  gpu: z.string(),
  gpuMemoryGiB: sourced,
  engineVersion: z.string(),
  lmcacheVersion: z.string(),
  kernels: z.enum(['default', 'batch-invariant']),
  blockTokens: sourced,
  maxNumBatchedTokens: sourced,
  maxNumSeqs: sourced,
  /** Activations and buffers beside weights and KV pool. */
  nonKvMemoryGiB: sourced,
  step: z.strictObject({
    peakFlops: sourced,
    memoryBytesPerSecond: sourced,
    /** Matrix products reach these shares of the peak in computing and in reading weights ... */
    gemmEfficiency: sourced.optional(),
    weightEfficiency: sourced.optional(),
    /**
     * ... or come in tiles of one size: a round of them over the multiprocessors takes, for each number that is summed
     * up, secondsPerDepth, and the more of emptyRowsSecondsPerDepth the fewer of the tiles' rows are used.
     */
    tiles: z
      .strictObject({
        rows: sourced,
        columns: sourced,
        multiprocessors: sourced,
        secondsPerDepth: sourced,
        emptyRowsSecondsPerDepth: sourced,
      })
      .optional(),
    attentionEfficiency: sourced,
    /** A prompt's token costs as if it saw so many more: short contexts leave a part of the GPU idle. */
    attentionStartTokens: sourced,
    /** KV reading while decoding approaches this for many sequences ... */
    kvReadEfficiency: sourced,
    /** ... and reaches half of it with this many. */
    kvReadHalfBatch: sourced,
    /** Multiprocessors that decoding sequences share; left out where kernels split them by their lengths. */
    multiprocessors: sourced.optional(),
    /** Bytes of KV a second that one sequence's decode reads at most, when a sequence cannot be split over the GPU. */
    sequenceKvBytesPerSecond: sourced.optional(),
    /** The same of a prompt's chunk: it reads what came before it at most so fast, however short it is. */
    prefillKvBytesPerSecond: sourced,
    elementwiseEfficiency: sourced,
    /** An all-reduce of tensor parallelism, two a layer: its start, and the bytes a second a GPU sends over its links. */
    allReduceSeconds: sourced,
    linkBytesPerSecond: sourced,
    /** Fixed time of each step. */
    stepSeconds: sourced,
    /** Launches of a layer's kernels. */
    layerSeconds: sourced,
    /** More for a step that holds a prefill: no full CUDA graph. */
    prefillStepSeconds: sourced,
    /** From the begin of a step until its kernels are launched: with a full CUDA graph, and a layer without. */
    graphLaunchSeconds: sourced,
    prefillLaunchLayerSeconds: sourced,
    /** A layer takes the host this long to launch; a step is never shorter than all of them. */
    hostLayerSeconds: sourced,
    /** The same without CUDA graphs (--enforce-eager) ... */
    eagerLayerSeconds: sourced,
    /** ... and for a step of more tokens than graphs were captured for, a size that may be new to every library. */
    ungraphedLayerSeconds: sourced,
    graphTokens: sourced,
    /** Prefill of varied text without a pause for longer than `afterSeconds` slows down, over `rampSeconds`, by `slowdown`. */
    sustainedPrefill: z.strictObject({ afterSeconds: sourced, rampSeconds: sourced, slowdown: sourced }),
    /** Prefill of one word again and again is faster by this share: equal numbers draw less power. */
    uniformPrefillSpeedup: sourced,
    /** For each request in the step: sampling, bookkeeping, output. */
    requestSeconds: sourced,
  }),
  api: z.strictObject({
    /** requestSeconds + tokenSeconds * tokens + distinctTokenSeconds * different tokens before a request can be scheduled. */
    requestSeconds: sourced,
    tokenSeconds: sourced,
    distinctTokenSeconds: sourced,
    /** Instead of both, for every token of a prompt that comes as token ids. */
    idTokenSeconds: sourced,
    /** All of this is longer for one request and shorter for another, by up to this share. */
    scatter: sourced,
    /** busyRequestSeconds + busyTokenSeconds * tokens of it keep the API process from other requests. */
    busyRequestSeconds: sourced,
    busyTokenSeconds: sourced,
    deliverySeconds: sourced,
  }),
  /** What an engine with a KV connector takes longer. */
  connector: z.strictObject({
    /** Copying fresh KV out of the GPU slows a prefill step: bytes of KV / this. */
    storeDragBytesPerSecond: sourced,
    requestStepSeconds: sourced,
    /** Hooks around each layer, and handing over what is to be stored, in a step that holds a prefill. */
    prefillStepSeconds: sourced,
    /** The scheduler waits for a lookup, and no step runs: lookupSeconds + foundTokenSeconds * tokens that the tier holds. */
    lookupSeconds: sourced,
    foundTokenSeconds: sourced,
  }),
  transfer: z.strictObject({
    loadBytesPerSecond: sourced,
    storeBytesPerSecond: sourced,
    loadOverheadSeconds: sourced,
    /** One load takes longer and another less, by up to this share. */
    loadScatter: sourced,
    /** Share by which a load takes longer while the engine's steps use the GPU too. */
    loadSlowdownBesideSteps: sourced,
  }),
  loadSeconds: z.strictObject({ engine: sourced, lmcacheServer: sourced }),
});

export type ProfileFile = z.infer<typeof profileFileSchema>;

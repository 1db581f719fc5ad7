import { performance } from 'node:perf_hooks';
import type { ConversationAwareOptions } from '../../simulator/lmcache/conversation-worth.js';
import { ColumnarReader } from '../../workloads/traces/columnar-reader.js';
import { simulateBelady } from './belady.js';
import { type ChunkFacts, type ChunkOptions, ChunkPaths } from './chunk-paths.js';
import { simulateConversationAware } from './conversation-aware.js';
import { simulateFifo } from './fifo.js';
import { simulateLru } from './lru.js';
import type { PolicyHits, PolicyName, PolicyRun } from './policy.js';

const DEFAULT_PASS_BYTES = 320 * 1024 * 1024;

export interface CurvePoint {
  readonly sizeChunks: number;
  readonly hits: number;
  /** Of all chunks looked up; 0 where none was. */
  readonly hitRate: number;
}

export interface PolicyCurve {
  readonly policy: PolicyName;
  readonly points: readonly CurvePoint[];
  readonly seconds: number;
  /** Accesses handled a second, over all passes. */
  readonly accessesPerSecond: number;
}

export interface CacheSimulation {
  readonly trace: ChunkFacts;
  readonly chunkTokens: number;
  /** Chunks, ascending. */
  readonly sizes: readonly number[];
  readonly curves: readonly PolicyCurve[];
  /** For reading the trace once, to number its chunks. */
  readonly surveySeconds: number;
}

export interface SimulateOptions extends ChunkOptions {
  readonly policies: readonly PolicyName[];
  /** Chunks; told by what the trace holds. */
  sizesFor(facts: ChunkFacts): readonly number[];
  readonly conversationAware?: ConversationAwareOptions;
  /** Where the optimum's next-use file goes. */
  readonly scratch: string;
  /**
   * What the sizes that run in one pass together may hold; default 320 MiB: the rest of 1 GiB is Node's own, the
   * trace's, and what the collector has not taken back yet.
   */
  readonly passBytes?: number;
  readonly signal?: AbortSignal;
  /** Called now and then, with requests handled so far of all that the policy handles. */
  onProgress?(policy: PolicyName, requests: number): void;
}

/**
 * Hit rates over cache sizes, by policy, out of a columnar trace.
 * @throws TraceFileError where the file is damaged; RangeError for sizes or chunks that do not fit; the signal's reason
 */
export async function simulateCache(path: string, options: SimulateOptions): Promise<CacheSimulation> {
  const reader = await ColumnarReader.open(path);
  try {
    const startedAt = performance.now();
    const paths = await ChunkPaths.open(reader, options, options.signal);
    const surveySeconds = (performance.now() - startedAt) / 1000;
    const sizes = [...new Set(options.sizesFor(paths.facts))].sort((a, b) => a - b);
    const wrong = sizes.find((size) => !(Number.isSafeInteger(size) && size >= 1));
    if (sizes.length === 0 || wrong !== undefined) {
      throw new RangeError(`Cache sizes must be whole numbers of chunks from 1, not "${wrong ?? ''}".`);
    }
    const curves: PolicyCurve[] = [];
    for (const policy of options.policies) {
      curves.push(await runPolicy(policy, paths, sizes, options));
    }
    return { trace: paths.facts, chunkTokens: options.chunkTokens, sizes, curves, surveySeconds };
  } finally {
    await reader.close();
  }
}

async function runPolicy(
  policy: PolicyName,
  paths: ChunkPaths,
  sizes: readonly number[],
  options: SimulateOptions,
): Promise<PolicyCurve> {
  let handled = 0;
  const run: PolicyRun = {
    paths,
    sizes,
    passBytes: options.passBytes ?? DEFAULT_PASS_BYTES,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    onProgress: (requests) => {
      handled += requests;
      options.onProgress?.(policy, handled);
    },
  };
  const startedAt = performance.now();
  const { hits, passes } = await hitsOf(policy, run, options);
  const seconds = (performance.now() - startedAt) / 1000;
  const { accesses, lookups } = paths.facts;
  return {
    policy,
    points: sizes.map((sizeChunks, index) => {
      const found = hits[index] ?? 0;
      return { sizeChunks, hits: found, hitRate: lookups === 0 ? 0 : found / lookups };
    }),
    seconds,
    accessesPerSecond: (accesses * passes) / seconds,
  };
}

function hitsOf(policy: PolicyName, run: PolicyRun, options: SimulateOptions): Promise<PolicyHits> {
  switch (policy) {
    case 'lru':
      return simulateLru(run);
    case 'fifo':
      return simulateFifo(run);
    case 'conversation':
      return simulateConversationAware(run, options.conversationAware);
    case 'belady':
      return simulateBelady(run, options.scratch);
  }
}

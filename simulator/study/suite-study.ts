import { createHash } from 'node:crypto';
import type { ModelShape, Profile } from '../contracts.js';
import { openStudyEngine } from './study-engine.js';
import type { VirtualEngine, VirtualRecord, VirtualRequest } from './virtual-serving.js';

/** Sizes of mp-test's workloads; tokens where a size is one. */
export interface SuiteSizes {
  readonly documents: number;
  readonly documentTokens: number;
  readonly outputTokens: number;
  readonly repeats: number;
  readonly inFlight: number;
  readonly benchPrompts: number;
  readonly benchTokens: number;
  readonly evalPrompts: number;
  readonly evalConcurrency: number;
}

/** Figures of one engine, in simulated seconds and tokens a simulated second. */
export interface SuiteFigures {
  readonly evalSeconds: readonly [number, number];
  /** Prompt tokens of the second evaluation that came from the cache tier or the GPU. */
  readonly evalCachedTokens: number;
  readonly benchThroughput: number;
  readonly warmupRoundTime: number;
  readonly queryTtft: number;
  readonly queryRoundTime: number;
  readonly queryCachedTokens: number;
  /** Simulated seconds of everything. */
  readonly simulatedSeconds: number;
  /** SHA-256 over all requests' times in whole microseconds: the same study, the same digest. */
  readonly digest: string;
}

/** What a client needs between an answer's end and its next request. */
const TURNAROUND_SECONDS = 0.0001;
/** An evaluation's prompt: examples that all share, then a question of its own; and its answer. */
const EVAL_SHARED_TOKENS = 512;
const EVAL_OWN_TOKENS = 400;
const EVAL_OUTPUT_TOKENS = 128;
/** Of the word that documents repeat, and where random tokens begin. */
const WORD = 300;
const RANDOM_IDS = 151_643;

/** The three workloads one after the other on one engine in virtual time. */
export async function runSuiteStudy(
  engineOf: { readonly profile: Profile; readonly model: ModelShape; readonly engine: 'baseline' | 'lmcache' },
  sizes: SuiteSizes,
): Promise<SuiteFigures> {
  const engine = openStudyEngine(engineOf);
  const times = createHash('sha256');
  const round = async (requests: readonly VirtualRequest[], inFlight: number) => {
    const from = engine.clock.now();
    const records = await engine.round(requests, inFlight, TURNAROUND_SECONDS);
    for (const record of records) times.update(microseconds(record));
    return { records, seconds: Math.max(...records.map(({ end }) => end)) - from };
  };
  const evaluation = evalRequests(sizes);
  const first = await round(evaluation, sizes.evalConcurrency);
  reset(engine);
  const second = await round(evaluation, sizes.evalConcurrency);
  const bench = await round(benchRequests(sizes), sizes.benchPrompts);
  const documents = documentRequests(sizes);
  const warmup = await round(documents, sizes.inFlight);
  const query = await round(Array.from({ length: sizes.repeats }, () => documents).flat(), sizes.inFlight);
  return {
    evalSeconds: [first.seconds, second.seconds],
    evalCachedTokens: cachedTokens(second.records),
    benchThroughput: (sizes.benchPrompts * (sizes.benchTokens + 1)) / bench.seconds,
    warmupRoundTime: warmup.seconds / warmup.records.length,
    queryTtft: query.records.reduce((sum, { ttft }) => sum + ttft, 0) / query.records.length,
    queryRoundTime: query.seconds / query.records.length,
    queryCachedTokens: cachedTokens(query.records),
    simulatedSeconds: engine.clock.now(),
    digest: times.digest('hex'),
  };
}

/** As POST /reset_prefix_cache between the two evaluations. */
function reset(engine: VirtualEngine): void {
  if (!engine.loop.scheduler.resetPrefixCache()) throw new Error('the prefix cache is still in use');
}

function evalRequests({ evalPrompts }: SuiteSizes): readonly VirtualRequest[] {
  const shared = Array.from({ length: EVAL_SHARED_TOKENS }, (_, index) => (index * 31) % RANDOM_IDS);
  return Array.from({ length: evalPrompts }, (_, prompt) => ({
    promptIds: [...shared, ...randomTokens(EVAL_OWN_TOKENS, prompt * 1009 + 7)],
    outputTokens: EVAL_OUTPUT_TOKENS,
  }));
}

function benchRequests({ benchPrompts, benchTokens }: SuiteSizes): readonly VirtualRequest[] {
  return Array.from({ length: benchPrompts }, (_, prompt) => ({
    promptIds: randomTokens(benchTokens, prompt * 2741),
    outputTokens: 1,
  }));
}

function documentRequests({ documents, documentTokens, outputTokens }: SuiteSizes): readonly VirtualRequest[] {
  return Array.from({ length: documents }, (_, document) => ({
    promptIds: [151_644, 198, document, ...new Array<number>(Math.max(0, documentTokens - 3)).fill(WORD)],
    outputTokens,
  }));
}

function randomTokens(count: number, start: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => (start + index * 7919) % RANDOM_IDS);
}

function cachedTokens(records: readonly VirtualRecord[]): number {
  return records.reduce((sum, record) => sum + record.cachedTokens, 0);
}

function microseconds({ start, ttft, end, cachedTokens: cached }: VirtualRecord): string {
  return `${[start, ttft, end].map((seconds) => Math.round(seconds * 1e6)).join(' ')} ${cached}\n`;
}

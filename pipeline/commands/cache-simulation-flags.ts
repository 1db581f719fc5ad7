import { tmpdir } from 'node:os';
import {
  type CacheSize,
  cacheSizeForms,
  DEFAULT_KV_BYTES_PER_TOKEN,
  defaultSizes,
  parseCacheSize,
  sizeInChunks,
} from '../../experiments/cache-simulation/cache-sizes.js';
import type { ChunkFacts } from '../../experiments/cache-simulation/chunk-paths.js';
import { type PolicyName, policyNames } from '../../experiments/cache-simulation/policy.js';
import { type ConversationAwareOptions, defaultConversationAware } from '../../simulator/lmcache/conversation-worth.js';
import type { TraceReadOptions } from '../../workloads/traces/trace.js';
import type { BenchFlags } from './bench-flags.js';
import { FlagProblems } from './flag-problems.js';
import { readTraceFlags, unknownWord } from './traces-flags.js';

const DEFAULT_POINTS = 24;
const DEFAULT_CHUNK_TOKENS = 256;

export interface CacheSimulationSettings {
  readonly trace: string;
  readonly reading: TraceReadOptions;
  readonly policies: readonly PolicyName[];
  readonly chunkTokens: number;
  readonly kvBytesPerToken: number;
  readonly storeAnswers: boolean;
  readonly maxContextTokens: number | null;
  readonly conversationAware: ConversationAwareOptions;
  /** Base of the files to write; null: none. */
  readonly output: string | null;
  readonly json: boolean;
  readonly scratch: string;
  sizesFor(facts: ChunkFacts): readonly number[];
}

/** @throws UsageError with everything that is wrong */
export function readCacheSimulationFlags(flags: BenchFlags): CacheSimulationSettings {
  const problems = new FlagProblems();
  const whole = (name: string, otherwise: number): number =>
    problems.read(() => flags.count(name, 1), undefined) ?? otherwise;
  const number = (name: string, range: Parameters<BenchFlags['number']>[1], otherwise: number): number =>
    problems.read(() => flags.number(name, range), undefined) ?? otherwise;
  const chunkTokens = whole('chunk-tokens', DEFAULT_CHUNK_TOKENS);
  const kvBytesPerToken = number('kv-bytes-per-token', { above: 0, max: 1e9 }, DEFAULT_KV_BYTES_PER_TOKEN);
  const points = whole('points', DEFAULT_POINTS);
  if (points > 1000) problems.add(`--points must be at most 1000, not "${points}".`);
  const sizes = readSizes(flags, problems);
  const settings = {
    trace: flags.text('trace') ?? '',
    reading: readTraceFlags(flags, problems),
    policies: readPolicies(flags, problems),
    chunkTokens,
    kvBytesPerToken,
    storeAnswers: !flags.isOff('store-answers'),
    maxContextTokens: problems.read(() => flags.count('max-context-tokens', 1), undefined) ?? null,
    conversationAware: {
      referenceSeconds: number('reference-seconds', { above: 0, max: 1e9 }, defaultConversationAware.referenceSeconds),
      returnWeight: number('return-weight', { min: 0, max: 1e9 }, defaultConversationAware.returnWeight),
    },
    output: flags.text('output') ?? null,
    json: flags.isOn('json'),
    scratch: flags.text('scratch') ?? tmpdir(),
    sizesFor: (facts: ChunkFacts) =>
      sizes.length === 0
        ? defaultSizes(facts, points)
        : sizes.map((size) => sizeInChunks(size, facts, chunkTokens, kvBytesPerToken)),
  };
  problems.throwIfAny();
  return settings;
}

function words(flags: BenchFlags, name: string): readonly string[] {
  return flags
    .list(name)
    .flatMap((text) => text.split(','))
    .map((text) => text.trim());
}

function readPolicies(flags: BenchFlags, problems: FlagProblems): readonly PolicyName[] {
  const given = words(flags, 'policy');
  for (const name of given) {
    if (!policyNames.some((policy) => policy === name)) problems.add(unknownWord('--policy', name, policyNames));
  }
  const chosen = policyNames.filter((policy) => given.includes(policy));
  return given.length === 0 ? policyNames : chosen;
}

function readSizes(flags: BenchFlags, problems: FlagProblems): readonly CacheSize[] {
  const sizes: CacheSize[] = [];
  for (const text of words(flags, 'sizes')) {
    const size = parseCacheSize(text);
    if (size === null) problems.add(`--sizes takes ${cacheSizeForms}, not "${text}".`);
    else sizes.push(size);
  }
  return sizes;
}

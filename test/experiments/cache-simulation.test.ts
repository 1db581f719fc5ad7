import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { policyNames } from '../../experiments/cache-simulation/policy.js';
import { type SimulateOptions, simulateCache } from '../../experiments/cache-simulation/simulate.js';
import { CacheTier } from '../../simulator/lmcache/cache-tier.js';
import { defaultConversationAware } from '../../simulator/lmcache/conversation-worth.js';
import { NO_METRICS } from '../../simulator/lmcache/tier-metrics.js';
import { type ColumnarRow, ColumnarWriter } from '../../workloads/traces/columnar-writer.js';
import { type NaiveRequest, naiveCaches } from './naive-caches.js';

let directory = '';
let files = 0;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lmcache-ci-cache-simulation-'));
});
afterAll(() => rm(directory, { recursive: true }));

const CHUNK = 4;

async function simulate(
  rows: readonly ColumnarRow[],
  blockTokens: number | null,
  sizes: readonly number[],
  options: Partial<SimulateOptions> = {},
) {
  files += 1;
  const path = join(directory, `${files}.lctrace`);
  const writer = await ColumnarWriter.create(path, blockTokens);
  for (const row of rows) writer.add(row);
  const distinctBlocks = Math.max(0, ...rows.flatMap(({ blockIds }) => [...Array.from(blockIds ?? []), -1])) + 1;
  const conversations = Math.max(...rows.map(({ conversation }) => conversation)) + 1;
  await writer.finish({ conversations, startedAt: null, distinctBlocks, timesMade: false });
  const result = await simulateCache(path, {
    policies: policyNames,
    chunkTokens: CHUNK,
    storeAnswers: true,
    maxContextTokens: null,
    sizesFor: () => sizes,
    scratch: directory,
    ...options,
  });
  await rm(path);
  return result;
}

/** Conversations whose turns are interleaved; at most 6 of them, of few chunks each. */
const conversationTrace = fc
  .array(
    fc.record({
      conversation: fc.nat(5),
      newTokens: fc.integer({ min: 1, max: 20 }),
      outputTokens: fc.nat(12),
      pause: fc.integer({ min: 0, max: 60 }),
    }),
    { minLength: 1, maxLength: 30 },
  )
  .map((turns) => {
    const history = new Map<number, { tokens: number; turn: number }>();
    let timeSeconds = 0;
    return turns.map(({ conversation, newTokens, outputTokens, pause }): ColumnarRow => {
      timeSeconds += pause;
      const before = history.get(conversation) ?? { tokens: 0, turn: 0 };
      const promptTokens = before.tokens + newTokens;
      history.set(conversation, { tokens: promptTokens + outputTokens, turn: before.turn + 1 });
      return { timeSeconds, conversation, turn: before.turn, newTokens, promptTokens, outputTokens };
    });
  });

/** Prompts known by blocks: walks down a tree, in which each block has at most three successors. */
const blockTrace = fc
  .array(
    fc.record({
      conversation: fc.nat(3),
      steps: fc.array(fc.nat(2), { maxLength: 6 }),
      rest: fc.nat(7),
      pause: fc.integer({ min: 0, max: 90 }),
    }),
    { minLength: 1, maxLength: 30 },
  )
  .map((walks) => {
    const numbers = new Map<string, number>();
    let timeSeconds = 0;
    return walks.map(({ conversation, steps, rest, pause }): ColumnarRow & { readonly blockIds: number[] } => {
      timeSeconds += pause;
      const names = steps.map((_, depth) => steps.slice(0, depth + 1).join('/'));
      for (const name of names) if (!numbers.has(name)) numbers.set(name, numbers.size);
      const blockIds = names.map((name) => numbers.get(name) ?? 0);
      const promptTokens = Math.max(0, steps.length * 8 - rest);
      const kept = blockIds.slice(0, Math.ceil(promptTokens / 8));
      return {
        timeSeconds,
        conversation,
        turn: 0,
        newTokens: promptTokens,
        promptTokens,
        outputTokens: 3,
        blockIds: kept,
      };
    });
  });

const asConversations = (rows: readonly ColumnarRow[], storeAnswers: boolean): NaiveRequest[] =>
  rows.map(({ conversation, promptTokens, outputTokens, timeSeconds }) => {
    const lookups = Math.floor(promptTokens / CHUNK);
    const length = storeAnswers ? Math.floor((promptTokens + outputTokens) / CHUNK) : lookups;
    const path = Array.from({ length }, (_, position) => `${conversation}:${'.'.repeat(position)}`);
    return { path, lookups, conversation, timeSeconds };
  });

/** Chunks of half a block. */
const asBlocks = (rows: readonly (ColumnarRow & { readonly blockIds: number[] })[]): NaiveRequest[] =>
  rows.map(({ conversation, promptTokens, blockIds, timeSeconds }) => {
    const lookups = Math.floor(promptTokens / CHUNK);
    const path = Array.from({ length: lookups }, (_, position) => {
      const block = position >> 1;
      return `${blockIds[block]}/${position & 1}`.padEnd(8 + position, '.');
    });
    return { path, lookups, conversation, timeSeconds };
  });

const sizes = [1, 2, 3, 5, 8, 13, 400];

async function expectNaive(result: Awaited<ReturnType<typeof simulate>>, requests: readonly NaiveRequest[]) {
  for (const { policy, points } of result.curves) {
    const wanted = sizes.map((size) => naiveCaches[policy](requests, size, defaultConversationAware));
    expect({ policy, hits: points.map(({ hits }) => hits) }).toEqual({ policy, hits: wanted });
  }
  const optimum = result.curves.find(({ policy }) => policy === 'belady');
  for (const { points } of result.curves) {
    for (const [index, { hits }] of points.entries()) {
      expect(hits).toBeLessThanOrEqual(optimum?.points[index]?.hits ?? 0);
    }
  }
  const lookups = requests.reduce((total, request) => total + request.lookups, 0);
  expect(result.trace.lookups).toBe(lookups);
  expect(result.curves[0]?.points.at(-1)?.hits).toBe(result.trace.reusedLookups);
}

/** Chunks that a tier of the simulator hits when an engine sends it the requests one after the other. */
function tierHits(requests: readonly NaiveRequest[], size: number, evictionPolicy: 'LRU' | 'conversation'): number {
  const clock = { seconds: 0, now: () => clock.seconds };
  const tier = new CacheTier({
    clock,
    metrics: NO_METRICS,
    chunkTokens: CHUNK,
    l1Bytes: size,
    evictionPolicy,
    watermark: 1,
    evictionRatio: 0,
    storePolicy: 'default',
    prefetchPolicy: 'retain',
    l2: [],
    prefetchMaxInFlight: 1,
    tailFirst: true,
    sampleRate: 0,
  });
  let hits = 0;
  for (const { path, lookups, timeSeconds } of requests) {
    clock.seconds = timeSeconds;
    hits += tier.lookup({ model: 'm', hashes: path.slice(0, lookups), chunkBytes: 1 });
    tier.store({ model: 'm', hashes: path, chunkBytes: 1 }, 0);
  }
  return hits;
}

describe('offline cache simulation', () => {
  it.each(['LRU', 'conversation'] as const)("hits as often as the simulator's tier under %s", async (policy) => {
    await fc.assert(
      fc.asyncProperty(conversationTrace, fc.boolean(), async (rows, storeAnswers) => {
        const requests = asConversations(rows, storeAnswers);
        const longest = Math.max(1, ...requests.map(({ path }) => path.length));
        // An engine whose tier cannot hold one prompt is another matter.
        const fitting = sizes.filter((size) => policy === 'conversation' || size >= longest);
        const policies = [policy === 'LRU' ? ('lru' as const) : policy];
        const { curves } = await simulate(rows, null, fitting, { storeAnswers, policies });
        const offline = curves[0]?.points.map(({ hits }) => hits);
        expect(fitting.map((size) => tierHits(requests, size, policy))).toEqual(offline);
      }),
      { numRuns: 100 },
    );
  });

  it('hits as often as naive caches do, on conversations', async () => {
    await fc.assert(
      fc.asyncProperty(conversationTrace, fc.boolean(), async (rows, storeAnswers) => {
        await expectNaive(await simulate(rows, null, sizes, { storeAnswers }), asConversations(rows, storeAnswers));
      }),
      { numRuns: 40 },
    );
  });

  it('hits as often as naive caches do, on prompts that share blocks', async () => {
    await fc.assert(
      fc.asyncProperty(blockTrace, async (rows) => {
        await expectNaive(await simulate(rows, 8, sizes), asBlocks(rows));
      }),
      { numRuns: 40 },
    );
  });

  it('hits the same in several passes, when memory is short', async () => {
    await fc.assert(
      fc.asyncProperty(conversationTrace, async (rows) => {
        await expectNaive(await simulate(rows, null, sizes, { passBytes: 1 }), asConversations(rows, true));
      }),
      { numRuns: 10 },
    );
  });

  it('makes chunks of several blocks', async () => {
    await fc.assert(
      fc.asyncProperty(blockTrace, async (rows) => {
        const requests = rows.map(({ conversation, promptTokens, blockIds, timeSeconds }) => {
          const path = Array.from({ length: Math.floor(promptTokens / 16) }, (_, position) =>
            String(blockIds[2 * position + 1]).padEnd(8 + position, '.'),
          );
          return { path, lookups: path.length, conversation, timeSeconds };
        });
        await expectNaive(await simulate(rows, 8, sizes, { chunkTokens: 16 }), requests);
      }),
      { numRuns: 20 },
    );
  });

  it('leaves out what exceeds the context', async () => {
    await fc.assert(
      fc.asyncProperty(conversationTrace, async (rows) => {
        const short = rows.filter(({ promptTokens, outputTokens }) => promptTokens + outputTokens <= 40);
        const result = await simulate(rows, null, sizes, { maxContextTokens: 40 });
        expect(result.trace.skippedRequests).toBe(rows.length - short.length);
        await expectNaive(result, asConversations(short, true));
      }),
      { numRuns: 15 },
    );
  });

  it('refuses chunks that do not fit the blocks, and sizes that are none', async () => {
    const [row] = fc.sample(blockTrace, 1)[0] ?? [];
    const rows = row === undefined ? [] : [row];
    await expect(simulate(rows, 8, [1], { chunkTokens: 12 })).rejects.toThrow(
      'Chunks of "12" tokens do not fit the trace\'s blocks of 8',
    );
    await expect(simulate(rows, 8, [0.5])).rejects.toThrow('whole numbers of chunks from 1, not "0.5"');
  });

  it('leaves no scratch file behind', async () => {
    const left = (await readdir(directory)).filter((name) => !name.endsWith('.lctrace'));
    expect(left).toEqual([]);
  });
});

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { CacheTier } from '../../simulator/lmcache/cache-tier.js';
import { connectorTo } from '../../simulator/lmcache/connector.js';
import { type L2Adapter, parseL2Adapter } from '../../simulator/lmcache/l2-adapter.js';
import { inProcessTier } from '../../simulator/lmcache/tier-client.js';
import { NO_METRICS } from '../../simulator/lmcache/tier-metrics.js';
import { loadProfile } from '../../simulator/profiles.js';
import { createVirtualEngine, type VirtualRecord, type VirtualRequest } from './virtual-serving.js';

/**
 * The simulator against recordings of real engines, in virtual time. Single-stream and decode recordings are what the
 * constants were fitted to; long-document and bench figures are the validation: of them only a few constants that
 * no quiet engine shows were taken (the profile files name them).
 */
const MODEL = 'Qwen/Qwen3-14B';
const engineNames = z.enum(['baseline', 'lmcache']);
const figures = z
  .object({
    singleStream: z.array(
      z.object({
        profile: z.string(),
        engine: engineNames,
        length: z.number(),
        mode: z.enum(['cold', 'gpu', 'lmcache']),
        ttftSamples: z.array(z.number()),
        promptTokens: z.number(),
        cachedTokens: z.number(),
      }),
    ),
    decodeStepMs: z.array(
      z.object({
        profile: z.string(),
        engine: engineNames,
        batch: z.number(),
        contextTokens: z.number(),
        meanMs: z.number(),
      }),
    ),
    longDoc: z.array(
      z.object({
        profile: z.string(),
        engine: engineNames,
        queryTtft: z.number(),
        queryRoundTime: z.number(),
        warmupRoundTime: z.number(),
        queryItlMs: z.number(),
      }),
    ),
    bench: z.array(z.object({ profile: z.string(), engine: engineNames, totalTokenThroughput: z.number() })),
    longDocL2Mock: z.object({ queryTtft: z.number(), queryRoundTime: z.number(), warmupRoundTime: z.number() }),
  })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/recordings/h200-figures.json', import.meta.url), 'utf8')));

/** What a client of the recordings needed between an answer's end and its next request. */
const TURNAROUND_SECONDS = 0.0001;

function engineOf(profileName: string, engine: 'baseline' | 'lmcache', l2: readonly L2Adapter[] = []) {
  const profile = loadProfile(profileName);
  const stepTime = profile.stepTime(MODEL, { connector: engine === 'lmcache' });
  const pool = stepTime.kvPoolTokens({ gpuMemoryUtilization: 0.5, tensorParallelSize: 1 });
  return createVirtualEngine({
    stepTime,
    limits: {
      maxNumBatchedTokens: profile.maxNumBatchedTokens,
      maxNumSeqs: profile.maxNumSeqs,
      maxModelLen: 40960,
      blockTokens: profile.blockTokens,
      blockCount: pool / profile.blockTokens,
      prefixCaching: true,
      loadNoticeSteps: profile.transfer.loadNoticeSteps,
    },
    ...(engine === 'baseline'
      ? {}
      : {
          connector: (clock) => {
            const tier = new CacheTier({
              clock,
              metrics: NO_METRICS,
              chunkTokens: 256,
              l1Bytes: 80 * 1024 ** 3,
              evictionPolicy: l2.length > 0 ? 'noop' : 'LRU',
              watermark: 0.8,
              evictionRatio: 0.2,
              storePolicy: l2.length > 0 ? 'skip_l1' : 'default',
              prefetchPolicy: 'default',
              l2,
              prefetchMaxInFlight: 8,
              sampleRate: 0,
            });
            const { kvBytesPerToken } = stepTime;
            const client = inProcessTier(tier, MODEL, kvBytesPerToken);
            return connectorTo(client, { kvBytesPerToken, model: MODEL, transfer: profile.transfer, clock });
          },
        }),
  });
}

/** Distinct tokens, as in the recorded single-stream and bench prompts (random tokens). */
function randomPrompt(tokens: number, start: number): readonly number[] {
  return Array.from({ length: tokens }, (_, index) => (start + index * 7919) % 151_643);
}

/** A document of one repeated word, told apart by its number. */
function documents(outputTokens: number): readonly VirtualRequest[] {
  return Array.from({ length: 30 }, (_, index) => ({
    promptIds: [151_644, 198, index, ...new Array<number>(index < 10 ? 10_006 : 10_007).fill(300)],
    outputTokens,
  }));
}

async function longDoc(profile: string, engine: 'baseline' | 'lmcache', l2: readonly L2Adapter[] = []) {
  const virtual = engineOf(profile, engine, l2);
  const round = async (requests: readonly VirtualRequest[]) => {
    const startedAt = virtual.clock.now();
    const records = await virtual.round(requests, 5, TURNAROUND_SECONDS);
    const end = Math.max(...records.map((record) => record.end));
    return { records, perPrompt: (end - startedAt) / records.length };
  };
  const warmup = await round(documents(200));
  const query = await round([...documents(200), ...documents(200)]);
  return {
    queryTtft: mean(query.records.map((record) => record.ttft)),
    queryRoundTime: query.perPrompt,
    warmupRoundTime: warmup.perPrompt,
    queryItlMs: mean(query.records.map(itlMs)),
    cachedTokens: query.records.map((record) => record.cachedTokens),
  };
}

function itlMs(record: VirtualRecord): number {
  return ((record.end - record.start - record.ttft) / 199) * 1000;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  return (at(Math.floor((sorted.length - 1) / 2)) + at(Math.floor(sorted.length / 2))) / 2;
}

const relative = (simulated: number, recorded: number): number => simulated / recorded - 1;

/** TTFT of one prompt on an idle engine: cold, from the GPU's prefix cache, or from LMCache's L1. */
async function singleStreamTtft(entry: (typeof figures.singleStream)[number]): Promise<number> {
  const virtual = engineOf(entry.profile, entry.engine);
  const promptIds = randomPrompt(entry.promptTokens, entry.length);
  const send = async () => {
    const [record] = await virtual.round([{ promptIds, outputTokens: 1 }], 1, 0);
    return record?.ttft ?? Number.NaN;
  };
  const cold = await send();
  if (entry.mode === 'cold') return cold;
  if (entry.mode === 'lmcache') expect(virtual.loop.scheduler.resetPrefixCache()).toBe(true);
  return send();
}

describe.each(['h200', 'h200-batch-invariant'])('profile %s', (profile) => {
  it('meets recorded single-stream TTFTs: median error at most 5 %, worst 15 %', async () => {
    const entries = figures.singleStream.filter((entry) => entry.profile === profile);
    const errors: number[] = [];
    for (const entry of entries) {
      const simulated = await singleStreamTtft(entry);
      const error = Math.abs(relative(simulated, median(entry.ttftSamples)));
      errors.push(error);
      const where = `${entry.engine} ${entry.length} ${entry.mode}: ${simulated} against ${entry.ttftSamples}`;
      // Three samples that differ by 45 % (4,000 tokens, prefix cache: 38, 52, 55 ms) have no median to meet.
      const [fastest = 0, , slowest = 0] = entry.ttftSamples;
      if (slowest / fastest > 1.35) expect(simulated / fastest, where).toSatisfy((x: number) => x > 0.95 && x < 1.45);
      else expect(error, where).toBeLessThanOrEqual(0.15);
    }
    expect(errors).toHaveLength(30);
    expect(median(errors)).toBeLessThanOrEqual(0.05);
  });

  it('meets recorded decode steps within 5 %', () => {
    const steps = figures.decodeStepMs.filter((entry) => entry.profile === profile);
    expect(steps).toHaveLength(8);
    for (const { engine, batch, contextTokens, meanMs } of steps) {
      const model = loadProfile(profile).stepTime(MODEL, { connector: engine === 'lmcache' });
      const decodes = Array.from({ length: batch }, () => ({ contextTokens }));
      const error = relative(model.stepSeconds({ prefills: [], decodes }) * 1000, meanMs);
      expect(Math.abs(error), `${engine} batch ${batch}: ${error}`).toBeLessThanOrEqual(0.05);
    }
  });

  it.each(['baseline', 'lmcache'] as const)('meets the long-document figures of the %s within 5 %', async (engine) => {
    const recorded = figures.longDoc.find((entry) => entry.profile === profile && entry.engine === engine);
    const simulated = await longDoc(profile, engine);
    for (const name of ['queryTtft', 'queryRoundTime', 'warmupRoundTime', 'queryItlMs'] as const) {
      const error = relative(simulated[name], recorded?.[name] ?? Number.NaN);
      expect(Math.abs(error), `${name}: ${simulated[name]} against ${recorded?.[name]}`).toBeLessThanOrEqual(0.05);
    }
    const cached = engine === 'lmcache' ? 9984 : 0;
    expect(simulated.cachedTokens.every((tokens) => tokens === cached)).toBe(true);
  });

  it.each(['baseline', 'lmcache'] as const)('meets the bench throughput of the %s within 5 %', async (engine) => {
    const recorded = figures.bench.find((entry) => entry.profile === profile && entry.engine === engine);
    const virtual = engineOf(profile, engine);
    const requests = Array.from({ length: 50 }, (_, index) => ({
      promptIds: randomPrompt(10_009, index * 2741),
      outputTokens: 1,
    }));
    const records = await virtual.round(requests, 50, 0);
    const throughput = (50 * 10_010) / Math.max(...records.map((record) => record.end));
    const error = relative(throughput, recorded?.totalTokenThroughput ?? Number.NaN);
    expect(Math.abs(error), `${throughput} against ${recorded?.totalTokenThroughput}`).toBeLessThanOrEqual(0.05);
  });
});

it('meets the long-document figures with a mock L2 of 4 GiB/s within 5 %', async () => {
  const adapter = parseL2Adapter('{"type":"mock","max_size_gb":80,"mock_bandwidth_gb":4}');
  const simulated = await longDoc('h200', 'lmcache', [adapter]);
  for (const name of ['queryTtft', 'queryRoundTime', 'warmupRoundTime'] as const) {
    const recorded = figures.longDocL2Mock[name];
    expect(Math.abs(relative(simulated[name], recorded)), `${name}: ${simulated[name]}`).toBeLessThanOrEqual(0.05);
  }
});

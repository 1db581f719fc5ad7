import { type SweepExperiment, type SweepSummary, sweepSummarySchema } from '../../results-schema/sweep-summary.js';

export interface SampleGrid {
  readonly dataset: string;
  readonly cacheSizes: readonly number[];
  readonly requestRates: readonly number[];
  readonly evictions: readonly boolean[];
}

/** A valid summary of a simulated sweep with smooth made-up figures; every seventeenth experiment failed. */
export function sampleSweep(grids: readonly SampleGrid[]): SweepSummary {
  const cells = grids.flatMap(({ dataset, cacheSizes, requestRates, evictions }) =>
    cacheSizes.flatMap((cache) =>
      requestRates.flatMap((rate) => evictions.map((aware) => ({ dataset, cache, rate, aware }))),
    ),
  );
  const experiments = cells.map((cell, position) => sampleExperiment(cell, position));
  const failed = experiments.filter(({ result }) => result.outcome === 'failed').length;
  return sweepSummarySchema.parse({
    schemaVersion: 1,
    tag: 'qwen8b',
    createdAt: '2025-11-22T10:15:00.000Z',
    updatedAt: '2025-11-22T18:40:00.000Z',
    versions: { lmcacheCi: '0.1.0', node: '20.20.2', vllm: null },
    definition: { file: 'qwen8b.yaml', document: 1 },
    engine: 'sim',
    simulated: { profile: 'h200', speed: 10 },
    environment: 'LMCACHE',
    shard: null,
    gridSize: experiments.length,
    experiments,
    totals: {
      total: experiments.length,
      successful: experiments.length - failed,
      failed,
      pending: 0,
      averageExecutionSeconds: 151.2,
    },
  });
}

/** 200 experiments over two data sets; one has more cache sizes than a chart may have lines. */
export function largeSweep(): SweepSummary {
  const powers = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512];
  return sampleSweep([
    {
      dataset: 'cw_logs_5_29_5am_6am',
      cacheSizes: powers,
      requestRates: [0.5, 0.7, 1, 1.4, 2],
      evictions: [false, true],
    },
    {
      dataset: 'cw_logs_5_28_19pm_20pm',
      cacheSizes: Array.from({ length: 25 }, (_, index) => 20 * (index + 1)),
      requestRates: [0.5, 1, 2, 4],
      evictions: [false],
    },
  ]);
}

function sampleExperiment(
  { dataset, cache, rate, aware }: { dataset: string; cache: number; rate: number; aware: boolean },
  position: number,
): SweepExperiment {
  const name = `${dataset}_${cache}gb_${rate}rps_${aware ? 'conversation' : 'lru'}`;
  const execution = {
    startedAt: '2025-11-22T10:15:00.000Z',
    finishedAt: '2025-11-22T10:18:00.000Z',
    executionSeconds: 151.2,
    gpus: [position % 4],
    attempt: 1,
  };
  const failed = position % 17 === 16;
  return {
    name,
    position,
    serverLog: `server_${name}.log`,
    clientLog: `client_${name}.log`,
    configuration: {
      model: {
        name: 'qwen-8b',
        path: 'Qwen/Qwen3-8B',
        tensorParallelSize: 1,
        pipelineParallelSize: 1,
        maxModelLength: 32768,
      },
      dataset: { path: `../data/${dataset}.csv`, name: dataset, format: 'conversational_csv' },
      cacheSizeGb: cache,
      requestRate: rate,
      conversationEviction: aware,
      conversationEvictionConfig: null,
      numPrompts: 30_000,
      timeLimitSeconds: 1200,
      mockDecoding: false,
    },
    result: failed
      ? {
          outcome: 'failed',
          ...execution,
          reason: 'infrastructure',
          cause: 'timeout',
          message: 'the server was not ready after 300 s',
          evidence: ['INFO starting'],
          measurement: null,
        }
      : { outcome: 'successful', ...execution, warnings: [], measurement: sampleMeasurement(cache, rate, aware) },
  };
}

function sampleMeasurement(cache: number, rate: number, aware: boolean) {
  const hit = Math.min(0.92, (1 - Math.exp(-cache / (90 * rate))) * (aware ? 0.95 : 0.85));
  const mean = 90 + (1 - hit) * 700 * (1 + rate / 2);
  const latency = (scale: number) => ({
    mean: mean * scale,
    median: mean * 0.8 * scale,
    p90: mean * 1.9 * scale,
    p95: mean * 2.4 * scale,
    p99: mean * 4 * scale,
  });
  const completed = Math.round(rate * 1180);
  return {
    requests: { planned: completed, sent: completed, completed, failed: 0, failures: {} },
    durationSeconds: 1201.5,
    inputTokens: completed * 5200,
    outputTokens: completed * 210,
    requestThroughput: rate * 0.98,
    outputThroughput: 210 * rate * (0.86 + 0.12 * hit),
    totalTokenThroughput: 5410 * rate * (0.86 + 0.12 * hit),
    ttftMs: latency(1),
    tpotMs: latency(0.05),
    e2elMs: latency(8),
    cache: {
      gpu: { queriedTokens: completed * 5200, hitTokens: completed * 5200 * hit * 0.3, hitRate: hit * 0.3 },
      lmcache: { queriedTokens: completed * 4000, hitTokens: completed * 4000 * hit * 0.7, hitRate: hit * 0.7 },
      combinedHitRate: hit,
    },
    conversations: {
      conversations: Math.round(completed / 6),
      turns: completed,
      meanTurns: 6,
      maxTurns: 24,
      meanPromptTokens: 5200,
      maxPromptTokens: 30_100,
      meanOutputTokens: 210,
      meanGapSeconds: 41,
      byTurn: [],
    },
    client: { sendLagP99Ms: 0.4, overloaded: false },
    simulated: { profile: 'h200', speed: 10 },
    serverStartSeconds: 31,
  };
}

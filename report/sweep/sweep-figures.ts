import type { SweepExperiment, SweepMeasurement } from '../../results-schema/sweep-summary.js';

/** One number of an experiment, as charts and tables show it. */
export interface SweepFigure {
  /** As a title begins. */
  readonly chartTitle: string;
  /** With its unit. */
  readonly label: string;
  readonly of: (measurement: SweepMeasurement) => number | null;
  /** Where the axis ends: at 100 % for shares. */
  readonly yMax?: number;
}

export const meanTtft: SweepFigure = {
  chartTitle: 'Mean TTFT',
  label: 'mean TTFT (ms)',
  of: ({ ttftMs }) => ttftMs.mean,
};

export const outputThroughput: SweepFigure = {
  chartTitle: 'Throughput',
  label: 'generated tokens/s',
  of: (measurement) => measurement.outputThroughput,
};

/** With mock_decoding every answer has one token: what was generated says nothing. */
export const totalThroughput: SweepFigure = {
  chartTitle: 'Throughput',
  label: 'prompt and generated tokens/s',
  of: (measurement) => measurement.totalTokenThroughput,
};

export const hitRate: SweepFigure = {
  chartTitle: 'Hit rate',
  label: 'prompt tokens from a cache (%)',
  of: ({ cache }) => percent(cache.combinedHitRate),
  yMax: 100,
};

/** What eviction decides: the GPU's own cache hits the same under any. */
export const lmcacheHitRate: SweepFigure = {
  chartTitle: "LMCache's hit rate",
  label: 'tokens that LMCache had, of those that the GPU had not (%)',
  of: ({ cache }) => percent(cache.lmcache.hitRate),
};

export function throughputOf(experiments: readonly SweepExperiment[]): SweepFigure {
  return experiments.some(({ configuration }) => configuration.mockDecoding) ? totalThroughput : outputThroughput;
}

export function percent(share: number | null): number | null {
  return share === null ? null : share * 100;
}

/** What a successful experiment measured; null for any other, whose figures are of no whole run. */
export function measurementOf({ result }: SweepExperiment): SweepMeasurement | null {
  return result.outcome === 'successful' ? result.measurement : null;
}

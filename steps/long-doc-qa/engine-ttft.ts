import type { Verdict } from '../../results-schema/step-result.js';
import { report } from '../../results-schema/verdicts.js';
import { type MetricsSnapshot, scrapeMetrics } from '../../workloads/metrics.js';

const histogram = 'vllm:time_to_first_token_seconds';

/**
 * The engine's own account of the first tokens (its histogram `time_to_first_token_seconds`), to set the client's beside:
 * what a client measures above it is connection, HTTP and the client itself.
 */
export interface EngineTtftWatch {
  /** To be called when the round begins. */
  begin(): Promise<void>;
  /** Mean in the server's seconds since `begin`; null where the server has no such histogram or counted nothing. */
  mean(): Promise<number | null>;
}

export function watchEngineTtft(baseUrl: string, signal: AbortSignal): EngineTtftWatch {
  // It only explains a measurement: a server without metrics is measured all the same.
  const read = (): Promise<MetricsSnapshot | null> => scrapeMetrics(baseUrl, signal).catch(() => null);
  let before: MetricsSnapshot | null = null;
  return {
    begin: async () => {
      before = await read();
    },
    mean: async () => {
      const after = before === null ? null : await read();
      if (before === null || after === null) return null;
      const count = after.sum(`${histogram}_count`) - before.sum(`${histogram}_count`);
      const mean = (after.sum(`${histogram}_sum`) - before.sum(`${histogram}_sum`)) / count;
      return count > 0 && Number.isFinite(mean) ? mean : null;
    },
  };
}

/** Both engines' figures, as far as they gave any. */
export function reportEngineTtft(engine: {
  readonly baseline: number | null;
  readonly lmcache: number | null;
}): readonly Verdict[] {
  const note = "the engine's own histogram";
  const rows = [
    { name: 'engine_query_ttft', title: 'Query TTFT with LMCache, by the engine', measured: engine.lmcache },
    { name: 'baseline_engine_query_ttft', title: 'Query TTFT, baseline, by the engine', measured: engine.baseline },
  ];
  return rows.flatMap((row) => (row.measured === null ? [] : [report({ ...row, unit: 's', note })]));
}

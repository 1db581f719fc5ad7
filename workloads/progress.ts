import { LiveQuantiles } from './live-quantiles.js';
import { type RequestRecord, ttftSeconds } from './request.js';
import type { RoundProgress } from './request-round.js';
import type { WorkloadOptions } from './target.js';

const INTERVAL_MS = 200;

/**
 * What a round hands its records to: reports the phase at its start, at most five times a second, and at its end.
 */
export function reportProgress(
  options: WorkloadOptions,
  phase: string,
  total: number,
): (record: RequestRecord, progress: RoundProgress) => void {
  const { onProgress } = options;
  if (onProgress === undefined) {
    return () => undefined;
  }
  const ttfts = new LiveQuantiles();
  let nextAt = performance.now() + INTERVAL_MS;
  onProgress({ phase, done: 0, total, failed: 0, inFlight: 0, figures: {} });
  return (record, progress) => {
    const ttft = ttftSeconds(record);
    if (record.outcome.state === 'ok' && ttft !== null) {
      ttfts.add(ttft);
    }
    if (performance.now() >= nextAt || progress.done === total) {
      nextAt = performance.now() + INTERVAL_MS;
      onProgress({ phase, total, ...progress, figures: ttfts.isEmpty ? {} : { 'TTFT s': ttfts.percentile(50) } });
    }
  };
}

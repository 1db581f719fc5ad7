import type { SweepConfiguration } from '../../results-schema/sweep-summary.js';

/** Wall-clock seconds until a server serves: recorded on an H200 with a warm compile cache. */
const realStartSeconds = 60;
/** The simulator loads no model. */
const simulatedStartSeconds = 1;

/**
 * Wall-clock seconds one experiment takes: the server's start, and the load until its end.
 * @param speed of the simulator; null for real servers
 */
export function estimateSeconds(configuration: SweepConfiguration, speed: number | null): number {
  const { numPrompts, requestRate, timeLimitSeconds } = configuration;
  const load = Math.min(timeLimitSeconds, numPrompts / requestRate);
  return speed === null ? realStartSeconds + load : simulatedStartSeconds + load / speed;
}

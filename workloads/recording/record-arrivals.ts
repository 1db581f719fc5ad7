import { arrivalTimes } from '../bench/arrivals.js';
import { PythonRandom } from '../python-random.js';
import type { RequestRecord } from '../request.js';
import { complete, type RecordingSession, settle } from './recording-session.js';

/** Requests that come at random times, or all at once. */
export type Arrivals =
  | { readonly kind: 'poisson'; readonly rate: number; readonly count: number }
  | { readonly kind: 'burst'; readonly count: number };

/** Both included. */
export interface TokenRange {
  readonly min: number;
  readonly max: number;
}

export interface ArrivalsOptions {
  readonly arrivals: Arrivals;
  readonly promptTokens: TokenRange;
  readonly outputTokens: TokenRange;
  readonly seed: number;
}

export function nameOfArrivals(arrivals: Arrivals): string {
  return arrivals.kind === 'burst' ? 'burst' : `poisson-${arrivals.rate}`;
}

/**
 * New prompts, sent when they are due whatever is in flight; times count from when the first was due.
 * @returns one record a request; after an abort those that were given up are marked as aborted
 */
export async function recordArrivals(
  session: RecordingSession,
  { arrivals, promptTokens, outputTokens, seed }: ArrivalsOptions,
): Promise<readonly RequestRecord[]> {
  const { count } = arrivals;
  const rate = arrivals.kind === 'burst' ? Number.POSITIVE_INFINITY : arrivals.rate;
  const times = arrivalTimes({ count, requestRate: rate, burstiness: 1, seed });
  const random = new PythonRandom(seed);
  const phase = `arrivals ${nameOfArrivals(arrivals)}`;
  const requests: { prompt: string; maxTokens: number; intendedStart: number }[] = [];
  for (const time of times) {
    const tokens = random.randint(promptTokens.min, promptTokens.max);
    const maxTokens = random.randint(outputTokens.min, outputTokens.max);
    const prompt = await session.prompts.text(tokens);
    requests.push({ prompt, maxTokens, intendedStart: time - (times[0] ?? 0) });
  }
  await settle(session);
  const { records } = await complete(session, requests, (done, failed) =>
    session.onProgress({ phase, done, total: count, failed, inFlight: 0, figures: {} }),
  );
  return records;
}

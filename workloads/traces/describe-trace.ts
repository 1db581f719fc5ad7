import { openTrace } from './open-trace.js';
import type { TraceReadOptions } from './trace.js';

/** Over all requests. */
export interface Lengths {
  readonly mean: number;
  readonly max: number;
}

/** What a trace holds. */
export interface TraceFacts {
  readonly path: string;
  readonly format: string;
  readonly requests: number;
  readonly conversations: number;
  readonly turns: Lengths;
  /** From the first to the last; null: no times. */
  readonly spanSeconds: number | null;
  readonly requestsPerSecond: number | null;
  readonly newTokens: Lengths;
  readonly promptTokens: Lengths;
  readonly outputTokens: Lengths;
  readonly notes: readonly { readonly note: string; readonly count: number }[];
}

/** Reads a trace once. @throws TraceFileError where it is broken; the signal's reason */
export async function describeTrace(path: string, options: TraceReadOptions, signal: AbortSignal): Promise<TraceFacts> {
  const trace = await openTrace(path, options);
  const sums = { newTokens: new Sum(), promptTokens: new Sum(), outputTokens: new Sum() };
  let [conversations, longest, earliest, latest] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for await (const batch of trace.batches()) {
    signal.throwIfAborted();
    for (const request of batch) {
      sums.newTokens.add(request.newTokens);
      sums.promptTokens.add(request.promptTokens);
      sums.outputTokens.add(request.outputTokens);
      conversations = Math.max(conversations, request.conversation + 1);
      longest = Math.max(longest, request.turn + 1);
      earliest = Math.min(earliest, request.timeSeconds ?? 0);
      latest = Math.max(latest, request.timeSeconds ?? 0);
    }
  }
  const requests = sums.newTokens.count;
  const span = requests > 0 ? latest - earliest : 0;
  return {
    path,
    format: trace.format,
    requests,
    conversations,
    turns: { mean: conversations === 0 ? 0 : requests / conversations, max: longest },
    spanSeconds: trace.hasTimes ? span : null,
    requestsPerSecond: trace.hasTimes && span > 0 ? (requests - 1) / span : null,
    newTokens: sums.newTokens.lengths(),
    promptTokens: sums.promptTokens.lengths(),
    outputTokens: sums.outputTokens.lengths(),
    notes: [...trace.notes].map(([note, count]) => ({ note, count })),
  };
}

class Sum {
  count = 0;
  #total = 0;
  #max = 0;

  add(value: number): void {
    this.count += 1;
    this.#total += value;
    this.#max = Math.max(this.#max, value);
  }

  lengths(): Lengths {
    return { mean: this.count === 0 ? 0 : this.#total / this.count, max: this.#max };
  }
}

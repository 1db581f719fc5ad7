import type { ChunkPaths } from './chunk-paths.js';

export const policyNames = ['lru', 'fifo', 'conversation', 'belady'] as const;
export type PolicyName = (typeof policyNames)[number];

/** How many of the chunks looked up were there, for each cache size. */
export interface PolicyHits {
  readonly policy: PolicyName;
  /** As `sizes`, in their order. */
  readonly hits: readonly number[];
  /** Passes over the trace, each of which handled every access once. */
  readonly passes: number;
}

export interface PolicyRun {
  readonly paths: ChunkPaths;
  /** In chunks, ascending, each at least 1. */
  readonly sizes: readonly number[];
  /** What the sizes that run in one pass together may hold. */
  readonly passBytes: number;
  readonly signal?: AbortSignal;
  /** Requests handled, over all passes of the policy. */
  onProgress?(requests: number): void;
}

/** Selects request after request, forwards; `visit` gets its number and its row in the loaded group. */
export async function forEachRequest(run: PolicyRun, visit: (request: number, row: number) => void): Promise<void> {
  const { paths, signal } = run;
  for (let group = 0; group < paths.groupCount; group += 1) {
    signal?.throwIfAborted();
    await paths.load(group);
    const { firstRow, rows } = paths;
    for (let row = 0; row < rows; row += 1) {
      if (paths.select(row)) {
        visit(firstRow + row, row);
      }
    }
    run.onProgress?.(rows);
  }
}

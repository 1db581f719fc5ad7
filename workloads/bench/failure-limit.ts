import type { RoundProgress } from '../request-round.js';
import type { WorkloadOptions } from '../target.js';

/** Fewer answers say nothing about a rate. */
const MIN_ANSWERS = 10;

/** Ends a round whose requests fail too often. */
export class FailureLimit {
  readonly #rate: number;
  readonly #exceeded = new AbortController();
  /** Aborts with the workload's own signal, or when too many failed. */
  readonly signal: AbortSignal;

  constructor(options: WorkloadOptions & { readonly abortOnFailureRate?: number }) {
    this.#rate = options.abortOnFailureRate ?? Number.POSITIVE_INFINITY;
    this.signal = AbortSignal.any([options.signal, this.#exceeded.signal]);
  }

  get isExceeded(): boolean {
    return this.#exceeded.signal.aborted;
  }

  count(progress: RoundProgress): void {
    if (!this.signal.aborted && progress.done >= MIN_ANSWERS && progress.failed / progress.done > this.#rate) {
      this.#exceeded.abort(new Error(`${progress.failed} of ${progress.done} requests failed.`));
    }
  }
}

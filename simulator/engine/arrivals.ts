import type { StepTimeModel } from '../contracts.js';
import { Scatter } from '../scatter.js';
import type { Sequence } from './sequence.js';

/**
 * The way of requests through the API process: announced when their first byte comes in, submitted once they are read,
 * and due to the scheduler when the process would be done with them. Its event loop reads one after the other, and goes
 * on with one that is tokenised only after those that came in meanwhile; one thread tokenises, in order; the rest
 * overlaps. All times are simulated seconds.
 */
export class Arrivals {
  readonly #stepTime: StepTimeModel;
  /** Arrival times of requests that are not read and tokenised yet. */
  readonly #announced: number[] = [];
  /** Submitted sequences in order of arrival, not yet due. */
  #queue: Sequence[] = [];
  readonly #scatter: Scatter;
  #loopBusyUntil = 0;
  #tokenizerBusyUntil = 0;
  /** Requests reach the scheduler in the order they came in. */
  #lastQueued = 0;

  constructor(stepTime: StepTimeModel) {
    this.#stepTime = stepTime;
    this.#scatter = new Scatter(stepTime.apiScatter);
  }

  /** A request has begun to come in. Call the returned function once it is read; false: it was called before. */
  announce(arrival: number): () => boolean {
    this.#announced.push(arrival);
    return () => {
      const index = this.#announced.indexOf(arrival);
      if (index >= 0) this.#announced.splice(index, 1);
      return index >= 0;
    };
  }

  /** Takes the sequences of one request (several for n > 1), and sets when they arrived and when they are due. */
  submit(sequences: readonly Sequence[], arrival: number): void {
    const first = sequences[0];
    if (first === undefined) return;
    const promptTokens = first.promptIds.length;
    const distinctTokens = first.options.cameAsIds === true ? null : first.distinctTokens;
    const seconds = this.#stepTime.apiSeconds(promptTokens, distinctTokens);
    const read = Math.max(arrival, this.#loopBusyUntil) + seconds.reading;
    const tokenised = Math.max(read, this.#tokenizerBusyUntil) + this.#scatter.next() * seconds.tokenising;
    this.#loopBusyUntil = read;
    this.#tokenizerBusyUntil = tokenised;
    for (const { times } of this.#queue) times.queued = Math.max(times.queued, read + seconds.rest);
    this.#lastQueued = Math.max(this.#lastQueued, tokenised + seconds.rest, read + seconds.rest);
    for (const sequence of sequences) {
      sequence.times.arrival = arrival;
      sequence.times.queued = this.#lastQueued;
      this.#queue.push(sequence);
    }
  }

  /** Forgets a sequence that has ended before it was due. */
  remove(sequence: Sequence): void {
    this.#queue = this.#queue.filter((other) => other !== sequence);
  }

  /** The sequences that are due at `time`, in order; they are the scheduler's from now on. */
  takeDue(time: number): readonly Sequence[] {
    const count = this.#queue.findIndex(({ times }) => times.queued > time);
    return this.#queue.splice(0, count < 0 ? this.#queue.length : count);
  }

  /** Submitted and not yet due. */
  get queue(): readonly Sequence[] {
    return this.#queue;
  }

  /** No request is being read. */
  get areRead(): boolean {
    return this.#announced.length === 0;
  }

  /** When the next one is due; infinite when none is there. */
  get nextAt(): number {
    return this.#queue[0]?.times.queued ?? Number.POSITIVE_INFINITY;
  }

  /** A request that is still being read could be due at `time`, if it is short enough. */
  isAwaited(time: number): boolean {
    const { reading, rest } = this.#stepTime.apiSeconds(0, 0);
    return this.#announced.some((arrival) => arrival + reading + rest <= time);
  }
}

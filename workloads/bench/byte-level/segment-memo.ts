const PRIME = 0x01000193;
/** So many ids are kept, some 16 MiB; then it begins anew. */
const MAX_IDS = 1_000_000;

interface Segment {
  readonly input: readonly number[];
  readonly output: readonly number[];
  /** Another one of the same hash. */
  readonly next: Segment | undefined;
}

/** Remembers what runs of token ids became: prompts of consecutive ids consist of the same runs again and again. */
export class SegmentMemo {
  readonly #segments = new Map<number, Segment>();
  #size = 0;

  /** Starts the hash of a run, or continues it. */
  static hash(hash: number, id: number): number {
    return Math.imul(hash ^ id, PRIME);
  }

  /** What `ids[start]` up to, not including, `ids[end]` became. */
  get(hash: number, ids: readonly number[], start: number, end: number): readonly number[] | null {
    for (let segment = this.#segments.get(hash); segment !== undefined; segment = segment.next) {
      if (isRun(segment.input, ids, start, end)) {
        return segment.output;
      }
    }
    return null;
  }

  set(hash: number, input: readonly number[], output: readonly number[]): void {
    this.#size += input.length + output.length;
    if (this.#size > MAX_IDS) {
      this.#segments.clear();
      this.#size = input.length + output.length;
    }
    this.#segments.set(hash, { input, output, next: this.#segments.get(hash) });
  }
}

function isRun(input: readonly number[], ids: readonly number[], start: number, end: number): boolean {
  if (input.length !== end - start) {
    return false;
  }
  for (let index = 0; index < input.length; index += 1) {
    if (input[index] !== ids[start + index]) {
      return false;
    }
  }
  return true;
}

const PRIME = 0x01000193;
/** So many ids are kept, some 16 MiB; then it begins anew. */
const MAX_IDS = 1_000_000;

interface Run {
  readonly input: readonly number[];
  readonly output: readonly number[];
  /** Another one of the same hash. */
  readonly next: Run | undefined;
}

/** Remembers what runs of token ids became: prompts of consecutive ids consist of the same runs again and again. */
export class RunMemo {
  readonly #runs = new Map<number, Run>();
  #size = 0;

  /** Starts the hash of a run, or continues it. */
  static hash(hash: number, id: number): number {
    return Math.imul(hash ^ id, PRIME);
  }

  /** What `ids[start]` up to, not including, `ids[end]` became. */
  get(hash: number, ids: readonly number[], start: number, end: number): readonly number[] | null {
    for (let run = this.#runs.get(hash); run !== undefined; run = run.next) {
      if (equals(run.input, ids, start, end)) {
        return run.output;
      }
    }
    return null;
  }

  set(hash: number, input: readonly number[], output: readonly number[]): void {
    this.#size += input.length + output.length;
    if (this.#size > MAX_IDS) {
      this.#runs.clear();
      this.#size = input.length + output.length;
    }
    this.#runs.set(hash, { input, output, next: this.#runs.get(hash) });
  }
}

function equals(input: readonly number[], ids: readonly number[], start: number, end: number): boolean {
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

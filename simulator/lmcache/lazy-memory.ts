const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const STEP_BYTES = 10 * GIB;
/** Simulated. Recorded three times for 60 GiB in six steps: 28.2 s, 4.35 to 5.01 s each; another machine took 25 s. */
const SECONDS_A_STEP = 4.7;

export interface LazyMemoryOptions {
  readonly totalBytes: number;
  /** What is there from the start. */
  readonly initialBytes: number;
  /** Simulated seconds a wall second. */
  readonly speed: () => number;
  /** A line for each step. */
  readonly log: (line: string) => void;
}

/** L1's pinned memory, which the real server allocates in steps of 10 GiB after it has begun to serve. */
export class LazyMemory {
  readonly #options: LazyMemoryOptions;
  #bytes: number;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: LazyMemoryOptions) {
    this.#options = options;
    this.#bytes = Math.min(options.initialBytes, options.totalBytes);
  }

  /** Allocated so far. */
  get bytes(): number {
    return this.#bytes;
  }

  start(): void {
    const { totalBytes, speed, log } = this.#options;
    if (this.#bytes >= totalBytes) return;
    this.#timer = setTimeout(
      () => {
        const step = Math.min(STEP_BYTES, totalBytes - this.#bytes);
        this.#bytes += step;
        const [grown, now, total] = [step, this.#bytes, totalBytes].map((bytes) => Math.round(bytes / MIB));
        const percent = ((this.#bytes / totalBytes) * 100).toFixed(1);
        log(
          `LazyMemoryAllocator: Expanded ${grown} MB pinned memory, now total is ${now} MB / ${total} MB (${percent}%)`,
        );
        this.start();
      },
      (SECONDS_A_STEP * 1000) / speed(),
    );
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}

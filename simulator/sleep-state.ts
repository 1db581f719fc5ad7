/** What a sleeping engine gives back of each GPU's memory. */
export type SleepTag = 'weights' | 'kv_cache';

/** Which of its memory an engine has let go, as vLLM's executor keeps account of it. */
export class SleepState {
  /** As asked for; null since the engine was last woken, be it in part. */
  #level: number | null = null;
  readonly #tags = new Set<SleepTag>();

  /** What is not on the GPU at present. */
  get tags(): ReadonlySet<SleepTag> {
    return this.#tags;
  }

  /** Values of vllm:engine_sleep_state. */
  get gauges(): { readonly awake: number; readonly weightsOffloaded: number; readonly discardAll: number } {
    return {
      awake: Number(this.#level === null),
      weightsOffloaded: Number(this.#level === 1),
      discardAll: Number(this.#level === 2),
    };
  }

  /** @param level 0 only pauses, 1 keeps the weights in host memory, 2 keeps nothing. */
  fallAsleep(level: number): void {
    this.#level = level;
    if (level >= 1) this.#tags.add('weights').add('kv_cache');
  }

  /** Wakes what is named, all when null; nothing where one of the names does not sleep. */
  wake(names: readonly string[] | null): void {
    this.#level = null;
    const woken = [...this.#tags].filter((tag) => names === null || names.includes(tag));
    if (names !== null && woken.length < names.length) return;
    for (const tag of woken) this.#tags.delete(tag);
  }
}

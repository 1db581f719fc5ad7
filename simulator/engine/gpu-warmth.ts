/** For how long a GPU has computed prompts without a pause: it slows down as it warms up, and cools as fast. */
export class GpuWarmth {
  readonly #limitSeconds: number;
  #seconds = 0;

  /** @param limitSeconds after which it gets no warmer. */
  constructor(limitSeconds: number) {
    this.#limitSeconds = limitSeconds;
  }

  get sustainedPrefillSeconds(): number {
    return this.#seconds;
  }

  warm(seconds: number): void {
    this.#seconds = Math.min(this.#seconds + seconds, this.#limitSeconds);
  }

  /** By time without a prompt. */
  cool(seconds: number): void {
    this.#seconds = Math.max(0, this.#seconds - seconds);
  }
}

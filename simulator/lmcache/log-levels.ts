const NUMBERS = { DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40, CRITICAL: 50 } as const;
type LevelName = keyof typeof NUMBERS;

/** Levels of Python's loggers, which GET /loglevel shows and sets; INFO where nothing was set. */
export class LogLevels {
  /** Loggers that have written, or were given a level. */
  readonly #levels = new Map<string, LevelName>();

  of(logger: string): LevelName {
    return this.#levels.get(logger) ?? 'INFO';
  }

  /** False for a level that Python does not know. */
  set(logger: string, level: string): boolean {
    const known = Object.keys(NUMBERS).find((name): name is LevelName => name === level);
    if (known === undefined) return false;
    this.#levels.set(logger, known);
    return true;
  }

  /** Whether a line of this level is written. @param place `file.py:12:the.logger` */
  lets(place: string, level: 'INFO' | 'WARNING'): boolean {
    const logger = place.split(':').at(-1) ?? place;
    if (!this.#levels.has(logger)) this.#levels.set(logger, 'INFO');
    return NUMBERS[level] >= NUMBERS[this.of(logger)];
  }

  /** `logger: LEVEL`, one a logger. */
  lines(): string[] {
    return [...this.#levels].map(([logger, level]) => `${logger}: ${level}`);
  }
}

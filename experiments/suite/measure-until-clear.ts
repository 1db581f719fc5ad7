export interface MeasureOptions<Result> {
  /** Seconds of the engines' time a wall second; null: real engines. */
  readonly speed: number | null;
  /** @param repetition 0 for the first measurement */
  measure(speed: number | null, repetition: number): Promise<Result>;
  /** Whether the machine left it open what was to be decided. */
  isUnclear(result: Result): boolean;
  /** Told before each further measurement. */
  onRepetition(result: Result, speed: number | null): void;
}

const mostRepetitions = 2;

/**
 * Measures again, twice at most, what the machine left unclear. Simulated engines run at half the speed each time: what a
 * busy machine adds to a simulated figure is its own delay times the speed.
 */
export async function measureUntilClear<Result>(options: MeasureOptions<Result>): Promise<Result> {
  let { speed } = options;
  let result = await options.measure(speed, 0);
  for (let repetition = 1; repetition <= mostRepetitions && options.isUnclear(result); repetition += 1) {
    speed = speed === null ? null : Math.max(1, speed / 2);
    options.onRepetition(result, speed);
    result = await options.measure(speed, repetition);
  }
  return result;
}

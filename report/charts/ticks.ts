/**
 * Round numbers (1, 2, 2.5 or 5 times a power of ten apart) from `min` to `max`, both in the axis' unit; those
 * within the range only.
 * @param wanted about how many
 * @param whole only whole numbers: request numbers, say
 */
export function niceTicks(min: number, max: number, wanted: number, whole = false): number[] {
  const step = niceStep((max - min) / Math.max(1, wanted), whole);
  const ticks: number[] = [];
  const first = Math.ceil(min / step - 1e-9);
  const count = Math.floor(max / step - first + 1e-9);
  for (let index = 0; index <= count; index++) {
    // Without the rounding 3 * 0.1 is 0.30000000000000004.
    ticks.push(Number(((first + index) * step).toPrecision(12)));
  }
  return ticks;
}

/** The first round number at or above `value` that lies on the grid of ticks from `min` on. */
export function niceEnd(min: number, value: number, wanted: number): number {
  const step = niceStep((value - min) / Math.max(1, wanted), false);
  return Number((Math.ceil(value / step - 1e-9) * step).toPrecision(12));
}

function niceStep(rough: number, whole: boolean): number {
  if (!(rough > 0)) return 1;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const factors = whole ? [1, 2, 5, 10] : [1, 2, 2.5, 5, 10];
  const step = (factors.find((factor) => factor * magnitude >= rough * (1 - 1e-9)) ?? 10) * magnitude;
  return whole ? Math.max(1, step) : step;
}

/** 1, 2 and 5 times powers of ten from at or below `min` to at or above `max`; over many decades only the powers. */
export function logTicks(min: number, max: number): number[] {
  const factors = max / min > 1e4 ? [1] : [1, 2, 5];
  const all: number[] = [];
  for (let exponent = Math.floor(Math.log10(min)); exponent <= Math.ceil(Math.log10(max)); exponent++) {
    all.push(...factors.map((factor) => Number((factor * 10 ** exponent).toPrecision(1))));
  }
  const first = all.findLastIndex((tick) => tick <= min * (1 + 1e-9));
  const last = all.findIndex((tick) => tick >= max * (1 - 1e-9));
  return all.slice(Math.max(0, first), Math.max(last, first + 1) + 1);
}

/** Tick labels with the same number of decimals all along the axis, thousands grouped. */
export function tickLabels(ticks: readonly number[]): string[] {
  const largest = ticks.reduce((left, tick) => Math.max(left, Math.abs(tick)), 0);
  if (largest >= 1e9 || (largest > 0 && largest < 1e-4)) return ticks.map((tick) => shortest(tick));
  const decimals = ticks.reduce((left, tick) => Math.max(left, decimalsOf(tick)), 0);
  const format = new Intl.NumberFormat('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return ticks.map((tick) => format.format(tick));
}

/** Values as they were chosen by somebody (64, 0.7): each with as many decimals as it needs. */
export function valueLabels(values: readonly number[]): string[] {
  const format = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 6 });
  return values.map((value) => (Math.abs(value) >= 1e9 ? shortest(value) : format.format(value)));
}

function decimalsOf(value: number): number {
  const text = String(Number(value.toPrecision(10)));
  if (text.includes('e-')) return Math.min(10, Number(text.split('e-')[1]));
  return Math.min(10, text.split('.')[1]?.length ?? 0);
}

function shortest(value: number): string {
  return value === 0 ? '0' : Number(value.toPrecision(4)).toExponential().replace('e+', 'e');
}

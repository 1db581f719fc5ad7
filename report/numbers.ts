/**
 * A number for people: four significant digits, thousands grouped from 1,000 up; whole numbers whole.
 * null (not measured) is a dash.
 */
export function formatNumber(value: number | null, digits = 4): string {
  if (value === null) return '-';
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return group(String(value));
  const magnitude = Math.abs(value);
  if (magnitude >= 10 ** (digits - 1)) return group(String(Math.round(value)));
  if (magnitude < 1e-4) return value.toExponential(Math.min(digits - 1, 100));
  const text = value.toPrecision(digits);
  return group(text.includes('.') ? text.replace(/\.?0+$/, '') : text);
}

/** With the same number of decimals all along a column: `1,389.0`. null is a dash. */
export function formatFixed(value: number | null, decimals: number): string {
  return value === null ? '-' : Number.isFinite(value) ? group(value.toFixed(decimals)) : String(value);
}

/** With a unit: `0.1483 s`, `3 %`, `19,818 tok/s`. */
export function formatQuantity(value: number | null, unit: string): string {
  const text = formatNumber(value);
  return value === null || unit === '' ? text : `${text} ${unit}`;
}

/**
 * Measured value and threshold with as many digits as it takes to tell them apart: 0.2200004 against 0.22
 * must not read as `0.22 <= 0.22, failed`.
 */
export function formatComparison(
  measured: number | null,
  threshold: number | null,
  unit: string,
): { readonly measured: string; readonly threshold: string } {
  const withUnit = (text: string): string => (text === '-' || unit === '' ? text : `${text} ${unit}`);
  for (let digits = 4; digits <= 17; digits++) {
    const left = formatNumber(measured, digits);
    const right = formatNumber(threshold, digits);
    if (left !== right || measured === threshold || digits === 17) {
      return { measured: withUnit(left), threshold: withUnit(right) };
    }
  }
  return { measured: withUnit(String(measured)), threshold: withUnit(String(threshold)) };
}

/** `+32.4 %`: how far inside the threshold; `-3.1 %`: how far outside. */
export function formatMargin(percent: number | null): string {
  if (percent === null) return '-';
  const rounded = Math.abs(percent) >= 100 ? percent.toFixed(0) : percent.toFixed(1);
  return `${percent >= 0 ? '+' : ''}${group(rounded)} %`;
}

/** `0.42 s`, `48.1 s`, `3 min 20 s`, `1 h 02 min`. */
export function formatDuration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

function group(digits: string): string {
  const [whole = '', fraction] = digits.split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** `1 experiment`, `1,200 experiments`. */
export function countOf(number: number, word: string): string {
  return `${formatNumber(number)} ${word}${number === 1 ? '' : 's'}`;
}

/** A float as Python's `repr` writes it: the same shortest digits, its own rules for `.0` and exponents. */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) {
    return 'nan';
  }
  if (!Number.isFinite(value)) {
    return value > 0 ? 'inf' : '-inf';
  }
  if (value === 0) {
    return Object.is(value, -0) ? '-0.0' : '0.0';
  }
  const magnitude = Math.abs(value);
  if (magnitude >= 1e-4 && magnitude < 1e16) {
    const plain = String(value);
    return plain.includes('.') ? plain : `${plain}.0`;
  }
  const [mantissa = '', exponentText = '0'] = value.toExponential().split('e');
  const digits = String(Math.abs(Number(exponentText))).padStart(2, '0');
  return `${mantissa}e${exponentText.startsWith('-') ? '-' : '+'}${digits}`;
}

/** A string as Python's `json.dumps` writes it: nothing but ASCII. */
export function pythonJsonString(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatComparison, formatDuration, formatMargin, formatNumber, formatQuantity } from '../../report/numbers.js';

describe('numbers for people', () => {
  it.each([
    [0, '0'],
    [50, '50'],
    [500_002, '500,002'],
    [-1_234_567, '-1,234,567'],
    [19_818.43, '19,818'],
    [0.14834, '0.1483'],
    [0.22, '0.22'],
    [0.0001, '0.0001'],
    [0.00001234, '1.234e-5'],
    [999.96, '1,000'],
    [100.04, '100'],
    [-0.5, '-0.5'],
    [null, '-'],
  ])('%s is %s', (value, text) => expect(formatNumber(value)).toBe(text));

  it('adds the unit only to a number', () => {
    expect(formatQuantity(3, '%')).toBe('3 %');
    expect(formatQuantity(3, '')).toBe('3');
    expect(formatQuantity(null, 's')).toBe('-');
  });

  it('never loses more than the digits it does not show', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }), (value) => {
        const shown = Number(formatNumber(value).replaceAll(',', ''));
        expect(Math.abs(shown - value)).toBeLessThanOrEqual(Math.max(Math.abs(value) * 5.1e-4, 0));
      }),
    );
  });

  it('shows a measured value and its threshold apart, unless they are equal', () => {
    expect(formatComparison(0.2200004, 0.22, 's')).toEqual({ measured: '0.2200004 s', threshold: '0.22 s' });
    expect(formatComparison(0.22, 0.22, 's')).toEqual({ measured: '0.22 s', threshold: '0.22 s' });
    expect(formatComparison(null, 0.22, 's')).toEqual({ measured: '-', threshold: '0.22 s' });
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        (a, b) => {
          const { measured, threshold } = formatComparison(a, b, 's');
          expect(measured === threshold).toBe(a === b);
        },
      ),
    );
  });

  it.each([
    [32.6, '+32.6 %'],
    [0, '+0.0 %'],
    [-148_200, '-148,200 %'],
    [null, '-'],
  ])('margin %s is %s', (value, text) => expect(formatMargin(value)).toBe(text));

  it.each([
    [0.417, '0.42 s'],
    [48.06, '48.1 s'],
    [200, '3 min 20 s'],
    [3599.7, '1 h 00 min'],
    [3725, '1 h 02 min'],
  ])('%s seconds are %s', (value, text) => expect(formatDuration(value)).toBe(text));
});

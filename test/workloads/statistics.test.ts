import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mean, median, percentile, populationStd, sum, trimmedMean } from '../../workloads/statistics.js';
import numpy from '../fixtures/workloads/numpy.json' with { type: 'json' };

const numbers = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 400 });
const close = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));

test.each(numpy.statistics.map((recorded) => ({ count: recorded.values.length, recorded })))(
  'equal to numpy to the last bit for $count values',
  ({ recorded }) => {
    const { values } = recorded;
    expect(sum(values)).toBe(recorded.sum);
    expect(mean(values)).toBe(recorded.mean);
    expect(populationStd(values)).toBe(recorded.std);
    expect(median(values)).toBe(recorded.median);
    for (const [percent, value] of Object.entries(recorded.percentiles)) {
      expect(percentile(values, Number(percent))).toBe(value);
    }
  },
);

test('nothing measured gives 0, as the bench reports it, and no trimmed mean', () => {
  expect([mean([]), median([]), percentile([], 99), populationStd([])]).toEqual([0, 0, 0, 0]);
  expect(trimmedMean([], 0.1)).toBeNull();
});

test('mean and population std agree with their definitions', () => {
  fc.assert(
    fc.property(numbers, (values) => {
      const naiveMean = values.reduce((total, value) => total + value, 0) / values.length;
      const naiveVariance = values.reduce((total, value) => total + (value - naiveMean) ** 2, 0) / values.length;
      return close(mean(values), naiveMean) && close(populationStd(values), Math.sqrt(naiveVariance));
    }),
  );
});

test('a percentile interpolates between its two neighbours in order; 50 is the median', () => {
  fc.assert(
    fc.property(numbers, fc.double({ min: 0, max: 100, noNaN: true }), (values, percent) => {
      const ordered = [...values].sort((a, b) => a - b);
      const position = (percent / 100) * (ordered.length - 1);
      const low = ordered[Math.floor(position)] ?? 0;
      const high = ordered[Math.ceil(position)] ?? 0;
      const naive = low + (high - low) * (position - Math.floor(position));
      return close(percentile(values, percent), naive) && close(percentile(values, 50), median(values));
    }),
  );
});

test('a trimmed mean leaves out as many at both ends', () => {
  fc.assert(
    fc.property(numbers, fc.double({ min: 0, max: 0.4999, noNaN: true }), (values, fraction) => {
      const cut = Math.floor(values.length * fraction);
      const kept = [...values].sort((a, b) => a - b).slice(cut, values.length - cut);
      const naive = kept.reduce((total, value) => total + value, 0) / kept.length;
      return close(trimmedMean(values, fraction) ?? Number.NaN, naive);
    }),
  );
  expect(trimmedMean([100, 1, 2, 3, -50], 0.2)).toBe(2);
});

test('a percent or a fraction out of range is refused with its value', () => {
  expect(() => percentile([1], 101)).toThrow('"101"');
  expect(() => percentile([1], Number.NaN)).toThrow('"NaN"');
  expect(() => trimmedMean([1], 0.5)).toThrow('"0.5"');
});

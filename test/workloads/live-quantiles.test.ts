import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LiveQuantiles } from '../../workloads/live-quantiles.js';

test('are those of all values, to 0.1 %', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 1e-5, max: 3600, noNaN: true }), { minLength: 1, maxLength: 200 }),
      fc.integer({ min: 1, max: 100 }),
      (seconds, percent) => {
        const quantiles = new LiveQuantiles();
        for (const value of seconds) quantiles.add(value);
        const sorted = seconds.toSorted((a, b) => a - b);
        const rank = (percent / 100) * seconds.length;
        // Of the two values that such a percentile lies between it is one.
        const neighbours = [Math.floor(rank), Math.ceil(rank)].map((place) => sorted[Math.max(0, place - 1)] ?? 0);
        const found = quantiles.percentile(percent);
        expect(neighbours.some((value) => Math.abs(found - value) <= value * 0.001 + 1e-6)).toBe(true);
      },
    ),
  );
});

test('take what cannot be: nothing, no time, an eternity', () => {
  const quantiles = new LiveQuantiles();
  expect(quantiles.isEmpty).toBe(true);
  quantiles.add(0);
  quantiles.add(1e9);
  expect(quantiles.isEmpty).toBe(false);
  expect(quantiles.percentile(50)).toBe(1e-6);
  expect(quantiles.percentile(100)).toBeGreaterThan(1e6);
});

import { expect, it } from 'vitest';
import { growthOf } from '../../bench/memory-growth.js';

/** Noise of +-120 KiB, and what is loaded in the first 30 cycles. */
const cycles = (keptKiB: number) =>
  Array.from(
    { length: 100 },
    (_, cycle) => 20_000 + cycle * keptKiB + 60 * ((cycle * 7) % 5) + Math.min(cycle, 30) * 9,
  );

it('sees what a cycle keeps below the noise, and not what is loaded once', () => {
  expect(growthOf(cycles(0))).toBeCloseTo(0, 0);
  expect(growthOf(cycles(3))).toBeCloseTo(3, 0);
  expect(growthOf(cycles(3).slice(0, 30))).toBeNull();
});

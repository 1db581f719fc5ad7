import { describe, expect, it } from 'vitest';
import { measureUntilClear } from '../../../experiments/suite/measure-until-clear.js';

/** A machine on which every measurement at more than `clearFrom` times real time is unclear. */
async function measureOn(clearFrom: number, speed: number | null) {
  const speeds: (number | null)[] = [];
  const told: (number | null)[] = [];
  const result = await measureUntilClear({
    speed,
    measure: async (at, repetition) => {
      expect(repetition).toBe(speeds.length);
      speeds.push(at);
      return at;
    },
    isUnclear: (at) => (at ?? 1) > clearFrom,
    onRepetition: (_, next) => told.push(next),
  });
  expect(told).toEqual(speeds.slice(1));
  return { result, speeds };
}

describe('a measurement that a busy machine leaves unclear', () => {
  it('is repeated at half the speed until it is clear', async () => {
    expect(await measureOn(5, 10)).toEqual({ result: 5, speeds: [10, 5] });
    expect(await measureOn(10, 10)).toEqual({ result: 10, speeds: [10] });
  });

  it('is given up after three times, never slower than real time', async () => {
    expect((await measureOn(0, 10)).speeds).toEqual([10, 5, 2.5]);
    expect((await measureOn(0, 1.5)).speeds).toEqual([1.5, 1, 1]);
    expect((await measureOn(0, null)).speeds).toEqual([null, null, null]);
  });
});

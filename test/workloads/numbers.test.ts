import { expect, test } from 'vitest';
import { arrivalTimes } from '../../workloads/bench/arrivals.js';
import { NumpyGenerator, seedSequence } from '../../workloads/bench/numpy-generator.js';
import { pythonFloat, pythonJsonString } from '../../workloads/python-format.js';
import { PythonRandom } from '../../workloads/python-random.js';
import numpy from '../fixtures/workloads/numpy.json' with { type: 'json' };
import python from '../fixtures/workloads/python.json' with { type: 'json' };

test('the vectors of the reference: PCG64 bounded integers, and Poisson arrivals', () => {
  expect(new NumpyGenerator(0).integers(700, 1349, 7)).toEqual([1252, 1113, 1031, 875, 899, 726, 748]);
  // The second vector continues the first one's generator, in the middle of a 64-bit draw.
  const generator = new NumpyGenerator(0);
  generator.integers(700, 1349, 7);
  expect(generator.integers(0, 151643, 7)).toEqual([2506, 26578, 123326, 98479, 138412, 76371, 91992]);
  const times = arrivalTimes({ count: 6, requestRate: 10, burstiness: 1, seed: 0 });
  expect(times.map((time) => Number(time.toFixed(6)))).toEqual([0.089233, 0.230047, 0.333558, 0.421819, 0.483602, 0.6]);
});

test.each(numpy.seedSequence)('SeedSequence($seed) gives the words numpy gives', ({ seed, words }) => {
  expect([...seedSequence(seed, words.length)]).toEqual(words);
});

test.each(numpy.integers)(
  'default_rng($seed).integers gives the values numpy gives, call after call',
  ({ seed, calls }) => {
    const generator = new NumpyGenerator(seed);
    for (const { low, high, count, values } of calls) {
      expect(generator.integers(low, high, count)).toEqual(values);
    }
  },
);

test.each(numpy.arrivals)(
  'arrivals of seed $seed, rate $requestRate, burstiness $burstiness are those of np.random.gamma',
  ({ seed, count, requestRate, burstiness, times }) => {
    const ours = arrivalTimes({
      seed,
      count,
      requestRate,
      burstiness: Number(String(burstiness).replace('inf', 'Infinity')),
    });
    expect(ours).toHaveLength(times.length);
    for (const [index, time] of times.entries()) {
      // V8's and glibc's logarithm may differ in the last bit, and the sum carries that on.
      expect(Math.abs((ours[index] ?? 0) - time)).toBeLessThanOrEqual(1e-14 * time * count);
    }
  },
);

test('all requests are due at once without a rate, and nonsense is refused', () => {
  expect(arrivalTimes({ count: 3, requestRate: Number.POSITIVE_INFINITY, burstiness: 1, seed: 0 })).toEqual([0, 0, 0]);
  expect(() => arrivalTimes({ count: 3, requestRate: 0, burstiness: 1, seed: 0 })).toThrow('"0"');
  expect(() => arrivalTimes({ count: 3, requestRate: 1, burstiness: -1, seed: 0 })).toThrow('"-1"');
  expect(() => arrivalTimes({ count: 3, requestRate: 1, burstiness: 1, seed: 2 ** 32 })).toThrow('"4294967296"');
  expect(() => new NumpyGenerator(-1)).toThrow('"-1"');
  expect(() => new NumpyGenerator(0).integers(5, 5, 1)).toThrow('5');
});

test.each(python.shuffles)('random.Random($seed).shuffle and what it draws next', ({ seed, result, after }) => {
  const random = new PythonRandom(seed);
  const items = result.map((_, index) => index);
  random.shuffle(items);
  expect(items).toEqual(result);
  expect(after.map(() => random.randint(-10_000_000, 10_000_000))).toEqual(after);
});

test('floats and strings are written as Python writes them', () => {
  for (const [json, repr] of python.floats) {
    expect(pythonFloat(Number(json))).toBe(repr);
  }
  for (const [text, json] of python.strings) {
    expect(pythonJsonString(text ?? '')).toBe(json);
  }
  expect([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(pythonFloat)).toEqual([
    'nan',
    'inf',
    '-inf',
  ]);
});

import { expect, it } from 'vitest';
import { describeEviction } from '../../steps/cache-proof.js';
import { noCounts } from './no-counts.js';

it('tells a cache that is too small from one that does not work (300 samples of 1,556 tokens on a real H200)', () => {
  expect(describeEviction({ ...noCounts, l1EvictedChunks: 1985 }, 'LIMIT')).toBe(
    ' LMCache evicted 1985 chunks meanwhile: above 80 % of its size L1 makes room. Raise L1_SIZE_GB, or lower LIMIT.',
  );
  expect(describeEviction(noCounts, 'LIMIT')).toBe('');
  expect(describeEviction({ ...noCounts, l1EvictedChunks: null }, 'LIMIT')).toBe('');
});

import { expect, it } from 'vitest';
import { type CacheCounters, describeEviction } from '../../steps/cache-proof.js';

const nothing: CacheCounters = {
  externalQueryTokens: 0,
  externalHitTokens: 0,
  gpuHitTokens: 0,
  lookupRequestedTokens: 0,
  lookupHitTokens: 0,
  l1ReadChunks: 0,
  l1WriteChunks: 0,
  l1EvictedChunks: 0,
};

it('tells a cache that is too small from one that does not work (300 samples of 1,556 tokens on a real H200)', () => {
  expect(describeEviction({ ...nothing, l1EvictedChunks: 1985 }, 'LIMIT')).toBe(
    ' LMCache evicted 1985 chunks meanwhile: above 80 % of its size L1 makes room. Raise L1_SIZE_GB, or lower LIMIT.',
  );
  expect(describeEviction(nothing, 'LIMIT')).toBe('');
  expect(describeEviction({ ...nothing, l1EvictedChunks: null }, 'LIMIT')).toBe('');
});

import { describe, expect, it } from 'vitest';
import { createMatmulTime } from '../../simulator/matmul-time.js';
import { loadProfile, profileFile } from '../../simulator/profiles.js';

const { step } = profileFile('h200-batch-invariant');
const model = loadProfile('h200-batch-invariant').model('Qwen/Qwen3-14B');

describe('matrix products in tiles', () => {
  const one = createMatmulTime(step, model, 1);

  it('take the longer the fewer rows of a tile are used, and a round more where tiles no longer fit', () => {
    expect(one.layersSeconds(1)).toBeGreaterThan(one.layersSeconds(64));
    expect(one.layersSeconds(64)).toBeGreaterThan(one.layersSeconds(128));
    expect(one.layersSeconds(129)).toBeGreaterThan(one.layersSeconds(128));
  });

  it('come to what the shapes say: rounds over 132 multiprocessors, each as long as its depth', () => {
    // Of 40, 56, 272 and 40 tiles those of gate and up, 272, need three rounds.
    const depth = 5120 + 5120 + 3 * 5120 + 17_408;
    expect(one.layersSeconds(128)).toBeCloseTo(40 * depth * 7.6e-9, 6);
    expect(one.headSeconds(128)).toBeCloseTo(Math.ceil(1187 / 132) * 5120 * 7.6e-9, 6);
  });

  it('are shared by GPUs', () => {
    const two = createMatmulTime(step, model, 2);
    expect(two.layersSeconds(8192) / one.layersSeconds(8192)).toBeCloseTo(0.5, 1);
  });
});

it('a profile with neither efficiencies nor tiles is refused in words', () => {
  const { tiles: _, ...without } = step;
  expect(() => createMatmulTime(without, model, 1)).toThrow(/needs "step.gemmEfficiency" .* or "step.tiles"/);
});

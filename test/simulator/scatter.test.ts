import { describe, expect, it } from 'vitest';
import { Scatter } from '../../simulator/scatter.js';

describe('Scatter', () => {
  it('covers its range evenly with few factors, the same ones every time', () => {
    const draw = (share: number): readonly number[] => {
      const scatter = new Scatter(share);
      return Array.from({ length: 20 }, () => scatter.next());
    };
    const factors = draw(0.2);
    expect(draw(0.2)).toEqual(factors);
    expect(Math.min(...factors)).toBeGreaterThanOrEqual(0.8);
    expect(Math.max(...factors)).toBeLessThanOrEqual(1.2);
    const tenths = new Set(factors.map((factor) => Math.floor((factor - 0.8) / 0.04)));
    expect(tenths.size).toBe(10);
    expect(factors.reduce((sum, factor) => sum + factor, 0) / factors.length).toBeCloseTo(1, 1);
    expect(draw(0)).toEqual(new Array<number>(20).fill(1));
  });
});

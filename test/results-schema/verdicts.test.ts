import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verdictSchema } from '../../results-schema/step-result.js';
import {
  changePercent,
  conclude,
  describeMiss,
  formatFigure,
  type Gate,
  judge,
  marginPercent,
  report,
} from '../../results-schema/verdicts.js';

const ttft = { name: 'ttft', title: 'TTFT', unit: 's' } as const;

function gate(name: string, passed: boolean, more: Partial<Gate> = {}): Gate {
  const verdict = judge({ name, title: name, unit: 's', measured: passed ? 1 : 3, comparison: '<=', threshold: 2 });
  return { verdict, reason: 'regression', cause: 'threshold', meaning: `${name} is bad.`, ...more };
}

describe('judge', () => {
  it('passes a value at its threshold and fails one beyond it', () => {
    const at = (measured: number) => judge({ ...ttft, measured, comparison: '<=', threshold: 0.22 }).outcome;
    expect(at(0.22)).toBe('passed');
    expect(at(0.2200001)).toBe('failed');
  });

  it.each([
    ['<=', 2, 3],
    ['<', 2.9, 3],
    ['>=', 4, 3],
    ['>', 3.1, 3],
    ['==', 3, 3],
  ] as const)('knows %s', (comparison, measured, threshold) => {
    expect(judge({ ...ttft, measured, comparison, threshold }).outcome).toBe('passed');
  });

  it.each([
    ['<', 3, 3],
    ['>', 3, 3],
    ['==', 2, 3],
    ['>=', 2.9, 3],
  ] as const)('refuses what %s does not allow', (comparison, measured, threshold) => {
    expect(judge({ ...ttft, measured, comparison, threshold }).outcome).toBe('failed');
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, null, undefined])(
    'never passes %s, whatever the comparison',
    (measured) => {
      for (const comparison of ['<=', '<', '>=', '>', '=='] as const) {
        const verdict = judge({ ...ttft, measured, comparison, threshold: 0.22 });
        expect(verdict).toMatchObject({ outcome: 'failed', measured: null, marginPercent: null });
        expect(verdict.note).toContain('could not be measured');
      }
    },
  );

  it('refuses a threshold that is no number', () => {
    expect(() => judge({ ...ttft, measured: 1, comparison: '<=', threshold: Number.NaN })).toThrow(/"ttft"/);
  });

  it('gives a margin whose sign is the outcome, in a verdict that fits its schema', () => {
    fc.assert(
      fc.property(
        fc.double({ noDefaultInfinity: true, noNaN: true, min: -1e9, max: 1e9 }),
        fc.double({ noNaN: true, min: 1e-3, max: 1e9 }),
        fc.constantFrom('<=', '>=', '==', '<', '>'),
        (measured, threshold, comparison) => {
          const verdict = judge({ ...ttft, measured, comparison, threshold });
          verdictSchema.parse(verdict);
          const margin = verdict.marginPercent ?? Number.NaN;
          expect(verdict.outcome === 'passed' ? margin >= 0 : margin <= 0).toBe(true);
        },
      ),
    );
  });
});

describe('marginPercent', () => {
  it('says how far inside or outside the value is', () => {
    expect(marginPercent(0.11, '<=', 0.22)).toBeCloseTo(50);
    expect(marginPercent(0.33, '<=', 0.22)).toBeCloseTo(-50);
    expect(marginPercent(110, '>=', 100)).toBeCloseTo(10);
    expect(marginPercent(3, '==', 4)).toBeCloseTo(-25);
  });

  it('has no percentage of nothing', () => {
    expect(marginPercent(3, '==', 0)).toBeNull();
  });
});

describe('changePercent', () => {
  it('is null where it cannot be said', () => {
    expect(changePercent(1, 0)).toBeNull();
    expect(changePercent(Number.NaN, 1)).toBeNull();
    expect(changePercent(1, null)).toBeNull();
    expect(changePercent(0.148, 1.258)).toBeCloseTo(-88.2, 1);
  });
});

describe('conclude', () => {
  it('passes when every gate does', () => {
    const result = conclude({ gates: [gate('a', true), gate('b', true)] });
    expect(result).toMatchObject({ outcome: 'passed', verdicts: [{ name: 'a' }, { name: 'b' }] });
  });

  it('takes reason and cause of the first gate that failed, and tells of all', () => {
    const result = conclude({
      gates: [
        gate('a', true),
        gate('b', false, { reason: 'cache-not-exercised', evidence: ['b line'] }),
        gate('c', false, { evidence: ['c line'] }),
      ],
    });
    expect(result).toMatchObject({
      outcome: 'failed',
      reason: 'cache-not-exercised',
      evidence: ['b line', 'c line'],
    });
    expect(result.outcome === 'failed' && result.message).toMatch(/b is bad\. b: 3 s, required is <= 2 s.*\nc is bad/);
  });

  it('is inconclusive on a doubt, which only gates that are not timed outweigh', () => {
    const doubts = [{ reason: 'noise', message: 'loud' }] as const;
    expect(conclude({ gates: [gate('a', true)], doubts }).outcome).toBe('inconclusive');
    expect(conclude({ gates: [gate('a', false, { timed: true })], doubts }).outcome).toBe('inconclusive');
    expect(conclude({ gates: [gate('a', false)], doubts }).outcome).toBe('failed');
  });

  it('does not judge what is only reported', () => {
    const reported = [report({ ...ttft, measured: Number.NaN })];
    const result = conclude({ gates: [gate('a', true)], reported });
    expect(result).toMatchObject({ outcome: 'passed', verdicts: [{}, { outcome: 'reported', measured: null }] });
  });
});

describe('describeMiss', () => {
  it('says by how much', () => {
    const verdict = judge({ ...ttft, measured: 0.33, comparison: '<=', threshold: 0.22 });
    expect(describeMiss(verdict)).toBe('TTFT: 0.33 s, required is <= 0.22 s (50 % beyond it).');
  });

  it('says when there is no number', () => {
    const verdict = judge({ ...ttft, measured: Number.NaN, comparison: '<=', threshold: 0.22 });
    expect(describeMiss(verdict)).toBe('TTFT: could not be measured (got "NaN"); required is <= 0.22 s.');
  });
});

describe('formatFigure', () => {
  it('keeps whole numbers whole and cuts the rest', () => {
    expect(formatFigure(500_002)).toBe('500002');
    expect(formatFigure(0.123456789)).toBe('0.12346');
    expect(formatFigure(null)).toBe('n/a');
  });
});

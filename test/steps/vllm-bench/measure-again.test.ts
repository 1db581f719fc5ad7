import { describe, expect, it } from 'vitest';
import type { StepResult } from '../../../results-schema/step-result.js';
import { conclude, type Gate, judge } from '../../../results-schema/verdicts.js';
import { throughputGateName } from '../../../steps/vllm-bench/judge.js';
import { measureUntilSure } from '../../../steps/vllm-bench/measure-again.js';

function gate(name: string, measured: number | null, threshold: number): Gate {
  const verdict = judge({ name, title: name, unit: '%', measured, comparison: '>=', threshold });
  const isTimed = name === throughputGateName;
  return { verdict, reason: isTimed ? 'regression' : 'cache-not-exercised', cause: 'threshold', meaning: 'It is.' };
}

/** A measurement with this share of the baseline's throughput. */
function measured(share: number | null, storedChunks = 50): StepResult {
  return conclude({ gates: [gate('stored_chunks', storedChunks, 50), gate(throughputGateName, share, 95)] });
}

/** What these measurements, one after the other, come to. */
async function judgedAs(...results: readonly StepResult[]): Promise<StepResult> {
  const left = [...results];
  const missed: (string | null)[] = [];
  const result = await measureUntilSure(async (before) => {
    missed.push(before);
    return left.shift() ?? Promise.reject(new Error('measured too often'));
  });
  expect(left).toEqual([]);
  expect(missed[0]).toBeNull();
  for (const before of missed.slice(1)) expect(before).toContain('required is >= 95 %');
  return result;
}

describe('a throughput that was missed', () => {
  it('is measured again only when nothing else was missed, and it was a number', async () => {
    const skipped: StepResult = { outcome: 'skipped', why: 'not chosen' };
    for (const once of [measured(95), measured(94.9, 49), measured(96, 49), measured(null), skipped])
      expect(await judgedAs(once)).toBe(once);
  });

  it('is a regression when it is missed again', async () => {
    const result = await judgedAs(measured(90), measured(91.25));
    expect(result).toMatchObject({ outcome: 'failed', reason: 'regression', cause: 'threshold' });
    expect(result).toHaveProperty('message', expect.stringMatching(/ Measured twice: 90 and then 91\.25 %\.$/));
    expect(result).toHaveProperty('verdicts.2', expect.objectContaining({ measured: 91.25, outcome: 'reported' }));
  });

  it('is noise when it is met then: no regression, and no success either', async () => {
    const result = await judgedAs(measured(94), measured(99));
    expect(result).toMatchObject({ outcome: 'inconclusive', reason: 'noise' });
    expect(result).toHaveProperty('message', expect.stringContaining('was 94 and then 99 % of the baseline'));
  });

  it('gives way to what else goes wrong then, and is still told', async () => {
    const told = expect.stringMatching(/ Measured before: .*required is >= 95 %/);
    const first = expect.objectContaining({ name: `${throughputGateName}_first`, measured: 90, outcome: 'reported' });
    const unproved = await judgedAs(measured(90), measured(99, 0));
    expect(unproved).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised', message: told });
    expect(unproved).toHaveProperty('verdicts', expect.arrayContaining([first]));
    const doubtful = conclude({ gates: [], doubts: [{ reason: 'client-overloaded', message: 'slow client' }] });
    const doubted = await judgedAs(measured(90), doubtful);
    expect(doubted).toMatchObject({ outcome: 'inconclusive', reason: 'client-overloaded', message: told });
    expect(doubted).toHaveProperty('verdicts', [first]);
  });
});

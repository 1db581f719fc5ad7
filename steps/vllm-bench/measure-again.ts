import type { StepResult, Verdict } from '../../results-schema/step-result.js';
import { formatFigure, report } from '../../results-schema/verdicts.js';
import { throughputGateName } from './judge.js';

type Failed = Extract<StepResult, { outcome: 'failed' }>;

/**
 * Measures once, and again where nothing but the throughput missed its limit: two healthy servers alike have differed by
 * more than that limit.
 * @param measure gets null at first; then what was missed, and takes other prompts: the first ones are in the caches now
 */
export async function measureUntilSure(measure: (missed: string | null) => Promise<StepResult>): Promise<StepResult> {
  const first = await measure(null);
  return missedThroughputAlone(first) ? judgeAgain(first, await measure(first.message)) : first;
}

function missedThroughputAlone(result: StepResult): result is Failed {
  if (result.outcome !== 'failed') return false;
  const missed = result.verdicts.filter(({ outcome }) => outcome === 'failed');
  return missed.length === 1 && throughputOf(missed) !== null;
}

/** Whether a throughput that was missed is a regression: it is when it is missed again, with other prompts. */
function judgeAgain(first: Failed, again: StepResult): StepResult {
  const twice = [first, again].map((result) => (result.outcome === 'skipped' ? null : throughputOf(result.verdicts)));
  const shares = twice.map((share) => formatFigure(share, 4)).join(' and then ');
  const verdicts = [
    ...first.verdicts,
    report({
      name: `${throughputGateName}_again`,
      title: 'Token throughput with LMCache, measured again',
      unit: '% of baseline',
      measured: twice[1],
    }),
  ];
  if (missedThroughputAlone(again)) {
    return { ...first, verdicts, message: `${first.message} Measured twice: ${shares} %.` };
  }
  if (again.outcome !== 'passed') return again;
  return {
    outcome: 'inconclusive',
    reason: 'noise',
    message: `With LMCache the throughput was ${shares} % of the baseline's: the limit lies within what two measurements differ by. Run it again on a quiet machine, or with more prompts (NUM_PROMPTS).`,
    verdicts,
  };
}

function throughputOf(verdicts: readonly Verdict[]): number | null {
  return verdicts.find(({ name }) => name === throughputGateName)?.measured ?? null;
}

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
  if (again.outcome === 'skipped') return again;
  const isMissed = missedThroughputAlone(again);
  if (again.outcome !== 'passed' && !isMissed) return withFirstMiss(again, first);
  const share = throughputOf(again.verdicts);
  const shares = `${formatFigure(throughputOf(first.verdicts), 4)} and then ${formatFigure(share, 4)} %`;
  const verdicts = [...first.verdicts, measuredAt('again', share)];
  if (isMissed) return { ...first, verdicts, message: `${first.message} Measured twice: ${shares}.` };
  return {
    outcome: 'inconclusive',
    reason: 'noise',
    message: `With LMCache the throughput was ${shares} of the baseline's: the limit lies within what two measurements differ by. Run it again on a quiet machine, or with more prompts (NUM_PROMPTS).`,
    verdicts,
  };
}

/** What else has gone wrong the second time decides; what was missed the first time stays to be seen. */
function withFirstMiss<Result extends Exclude<StepResult, { outcome: 'passed' | 'skipped' }>>(
  again: Result,
  first: Failed,
): Result {
  return {
    ...again,
    message: `${again.message} Measured before: ${first.message}`,
    verdicts: [...again.verdicts, measuredAt('first', throughputOf(first.verdicts))],
  };
}

function measuredAt(time: 'first' | 'again', measured: number | null): Verdict {
  return report({
    name: `${throughputGateName}_${time}`,
    title: `Token throughput with LMCache, measured ${time}`,
    unit: '% of baseline',
    measured,
  });
}

function throughputOf(verdicts: readonly Verdict[]): number | null {
  return verdicts.find(({ name }) => name === throughputGateName)?.measured ?? null;
}

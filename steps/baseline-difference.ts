import type { Verdict } from '../results-schema/step-result.js';
import { type Gate, judge, report } from '../results-schema/verdicts.js';
import { defineSettings } from './settings.js';

/** One definition for every test that compares LMCache's output with the baseline's. */
export const baselineDifferenceSettings = defineSettings({
  MAX_BASELINE_DIFF: {
    type: 'integer',
    default: null,
    defaultText: 'off',
    min: 0,
    unit: 'answers',
    description:
      "How many answers may differ from the baseline's before the test fails; reported only when it is not set.",
  },
});

/** A gate when MAX_BASELINE_DIFF is set, else a figure that only informs. */
export function judgeBaselineDifference(comparison: {
  readonly differing: number;
  readonly compared: number;
  readonly allowed: number | null;
  /** The first differences, for the reader. */
  readonly evidence: readonly string[];
}): { readonly gates: readonly Gate[]; readonly reported: readonly Verdict[] } {
  const figure = {
    name: 'baseline_differences',
    title: 'Answers that differ from the baseline',
    unit: 'answers',
    measured: comparison.differing,
    note: `of ${comparison.compared} compared`,
  };
  if (comparison.allowed === null) {
    return { gates: [], reported: [report(figure)] };
  }
  const gate: Gate = {
    verdict: judge({ ...figure, comparison: '<=', threshold: comparison.allowed }),
    reason: 'incorrect-output',
    cause: 'output-differs',
    meaning: 'With LMCache the engine answers other than without it.',
    evidence: comparison.evidence,
  };
  return { gates: [gate], reported: [] };
}

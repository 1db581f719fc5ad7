import type { FailureCause, FailureReason, StepResult, Verdict } from './step-result.js';

/** What is compared with what. `measured`: undefined, NaN and infinite count as "could not be measured". */
export interface Judgement {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly measured: number | null | undefined;
  readonly comparison: NonNullable<Verdict['comparison']>;
  readonly threshold: number;
  readonly note?: string;
}

/** A judged number, and what a miss of it means for the step. */
export interface Gate {
  readonly verdict: Verdict;
  readonly reason: FailureReason;
  readonly cause: FailureCause;
  /** What a miss means, without the numbers: those are added from the verdict. */
  readonly meaning: string;
  readonly evidence?: readonly string[];
  /** Its number is a time or a rate: it does not count where there is a doubt. */
  readonly timed?: boolean;
}

/** A circumstance under which the measured times and rates cannot be trusted. */
export interface Doubt {
  readonly reason: 'client-overloaded' | 'too-few-samples' | 'noise';
  readonly message: string;
}

/**
 * Compares one number with its threshold. A number that is missing, NaN or infinite never passes:
 * the outcome is `failed`, `measured` is null and the note says what came instead.
 */
export function judge(judgement: Judgement): Verdict {
  const { name, title, unit, comparison, threshold } = judgement;
  if (!Number.isFinite(threshold)) {
    throw new TypeError(`The threshold of "${name}" must be a finite number, not "${threshold}".`);
  }
  const measured = finiteOrNull(judgement.measured);
  const common = { name, title, unit, measured, comparison, threshold };
  if (measured === null) {
    const cause = `could not be measured (${describeMissing(judgement.measured)})`;
    const note = judgement.note === undefined ? cause : `${cause}; ${judgement.note}`;
    return { ...common, marginPercent: null, outcome: 'failed', note };
  }
  return {
    ...common,
    marginPercent: marginPercent(measured, comparison, threshold),
    outcome: holds(measured, comparison, threshold) ? 'passed' : 'failed',
    ...(judgement.note === undefined ? {} : { note: judgement.note }),
  };
}

/** A number that is shown but decides nothing. */
export function report(figure: {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly measured: number | null | undefined;
  readonly note?: string;
}): Verdict {
  const { name, title, unit } = figure;
  return {
    name,
    title,
    unit,
    measured: finiteOrNull(figure.measured),
    comparison: null,
    threshold: null,
    marginPercent: null,
    outcome: 'reported',
    ...(figure.note === undefined ? {} : { note: figure.note }),
  };
}

/**
 * How far inside (positive) or outside (negative) its threshold a value lies, in percent of the threshold.
 * null where the threshold is 0, of which nothing is a percentage.
 */
export function marginPercent(
  measured: number,
  comparison: NonNullable<Verdict['comparison']>,
  threshold: number,
): number | null {
  if (threshold === 0) {
    return null;
  }
  const aboveBy = ((measured - threshold) / Math.abs(threshold)) * 100;
  switch (comparison) {
    case '<=':
    case '<':
      return withoutNegativeZero(-aboveBy);
    case '>=':
    case '>':
      return withoutNegativeZero(aboveBy);
    case '==':
      return withoutNegativeZero(-Math.abs(aboveBy));
  }
}

/** By how many percent `value` differs from `base`; null where that cannot be said. */
export function changePercent(value: number | null | undefined, base: number | null | undefined): number | null {
  const numerator = finiteOrNull(value);
  const denominator = finiteOrNull(base);
  if (numerator === null || denominator === null || denominator === 0) {
    return null;
  }
  return ((numerator - denominator) / denominator) * 100;
}

/**
 * The step's result: the first gate that failed decides (so gates come in order of weight), then the
 * first doubt, then the step has passed. All verdicts are kept, in the order given.
 */
export function conclude(parts: {
  readonly gates: readonly Gate[];
  readonly reported?: readonly Verdict[];
  readonly doubts?: readonly Doubt[];
  readonly message?: string;
}): StepResult {
  const verdicts = [...parts.gates.map((gate) => gate.verdict), ...(parts.reported ?? [])];
  const doubt = parts.doubts?.[0];
  const missed = parts.gates.filter(
    (gate) => gate.verdict.outcome === 'failed' && (doubt === undefined || gate.timed !== true),
  );
  const first = missed[0];
  if (first !== undefined) {
    return {
      outcome: 'failed',
      reason: first.reason,
      cause: first.cause,
      message: missed.map((gate) => `${gate.meaning} ${describeMiss(gate.verdict)}`).join('\n'),
      evidence: missed.flatMap((gate) => gate.evidence ?? []),
      verdicts,
    };
  }
  if (doubt !== undefined) {
    return { outcome: 'inconclusive', reason: doubt.reason, message: doubt.message, verdicts };
  }
  return { outcome: 'passed', verdicts, ...(parts.message === undefined ? {} : { message: parts.message }) };
}

/** "Query TTFT: 0.31 s, required is <= 0.22 s (40.9 % beyond it)." */
export function describeMiss(verdict: Verdict): string {
  const limit = `${verdict.comparison ?? ''} ${formatFigure(verdict.threshold)} ${verdict.unit}`.trim();
  if (verdict.measured === null) {
    return `${verdict.title}: ${verdict.note ?? 'could not be measured'}; required is ${limit}.`;
  }
  const beyond =
    verdict.marginPercent === null ? '' : ` (${formatFigure(Math.abs(verdict.marginPercent), 4)} % beyond it)`;
  const note = verdict.note === undefined ? '' : ` (${verdict.note})`;
  const measured = `${formatFigure(verdict.measured)} ${verdict.unit}`.trim();
  return `${verdict.title}: ${measured}${note}, required is ${limit}${beyond}.`;
}

/** At most `digits` significant digits, no exponent for ordinary sizes, no grouping. */
export function formatFigure(value: number | null, digits = 5): string {
  if (value === null) {
    return 'n/a';
  }
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(digits)));
}

/** NaN and infinities are not numbers that may be judged or written into JSON. */
export function finiteOrNull(value: number | null | undefined): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function holds(measured: number, comparison: NonNullable<Verdict['comparison']>, threshold: number): boolean {
  switch (comparison) {
    case '<=':
      return measured <= threshold;
    case '<':
      return measured < threshold;
    case '>=':
      return measured >= threshold;
    case '>':
      return measured > threshold;
    case '==':
      return measured === threshold;
  }
}

function describeMissing(value: number | null | undefined): string {
  return value === null || value === undefined ? 'no value' : `got "${value}"`;
}

function withoutNegativeZero(value: number): number {
  return value === 0 ? 0 : value;
}

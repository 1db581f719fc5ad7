import type { StepResult, Verdict } from '../../results-schema/step-result.js';
import { changePercent, conclude, type Doubt, type Gate, judge, report } from '../../results-schema/verdicts.js';
import type { LongDocQaResult } from '../../workloads/long-doc-qa.js';
import { judgeBaselineDifference } from '../baseline-difference.js';
import { type CacheCounters, describeEviction, proofGate, reportGpuHits } from '../cache-proof.js';
import { requestGate } from '../request-gate.js';
import { reportEngineTtft } from './engine-ttft.js';
import type { LongDocQaSettingValues } from './settings.js';

/** Upstream's newest gates: how much lower than the baseline's TTFT and round time must be. */
const relativeTtftPercent = -60;
const relativeRoundTimePercent = -15;
const shownDifferences = 3;
const shownCharacters = 160;

export interface LongDocQaMeasurements {
  readonly settings: LongDocQaSettingValues;
  readonly baseline: LongDocQaResult;
  readonly lmcache: LongDocQaResult;
  /** Counters over LMCache's query round alone. */
  readonly queryRise: CacheCounters;
  /** Mean TTFT of the query round by the engines' own account. */
  readonly engineTtft: { readonly baseline: number | null; readonly lmcache: number | null };
}

/** Tokens of the query round's prompts; null where the server did not count one of them. */
export function queryTokens(result: LongDocQaResult): number | null {
  return result.query.reduce<number | null>(
    (sum, record) => (sum === null || record.promptTokens === null ? null : sum + record.promptTokens),
    0,
  );
}

/** What came from LMCache in the query round: by vLLM's account, else by the LMCache server's own. */
export function hitTokens(rise: CacheCounters): number | null {
  return rise.externalHitTokens ?? rise.lookupHitTokens;
}

/** The result of the step from what both servers did. */
export function judgeLongDocQa(measurements: LongDocQaMeasurements): StepResult {
  const { settings, baseline, lmcache } = measurements;
  const difference = compareAnswers(baseline, lmcache, settings.MAX_BASELINE_DIFF);
  const speed = speedGates(measurements);
  const missed = speed.filter((gate) => gate.verdict.outcome === 'failed');
  const overloaded =
    lmcache.clientHealth.overloaded && missed.length > 0 && missed.every((gate) => explainedByClient(gate, lmcache));
  const doubts: Doubt[] = overloaded
    ? [{ reason: 'client-overloaded', message: lmcache.clientHealth.remedy ?? 'The client did not keep up.' }]
    : [];
  return conclude({
    gates: [...completion(baseline, lmcache), proof(measurements), ...speed, ...difference.gates],
    reported: [
      ...relativeFigures(measurements),
      ...reportEngineTtft(measurements.engineTtft),
      reportGpuHits(measurements.queryRise),
      ...difference.reported,
    ],
    doubts,
  });
}

/** Late in sending and as late again in reading: what is missed by more than that was not the client's doing. */
function explainedByClient({ verdict }: Gate, { clientHealth, simulated }: LongDocQaResult): boolean {
  const { measured, threshold } = verdict;
  if (measured === null || threshold === null) return false;
  const latestMs = Math.max(clientHealth.sendLagMs.max, clientHealth.eventLoopDelayMs.max);
  return measured - threshold <= 2 * (latestMs / 1000) * (simulated?.speed ?? 1);
}

function proof({ lmcache, queryRise }: LongDocQaMeasurements): Gate {
  const tokens = queryTokens(lmcache);
  return proofGate(
    {
      name: 'query_hit_tokens',
      title: 'Tokens the query round took from LMCache',
      unit: 'tokens',
      measured: tokens === null ? null : hitTokens(queryRise),
      // Without the prompts' sizes there is no half of them: any hit is asked for, and nothing measured passes.
      atLeast: tokens === null ? 1 : tokens / 2,
      note: tokens === null ? 'the server did not count its prompt tokens' : `of ${tokens} prompt tokens`,
    },
    meaningOfMiss(queryRise, tokens),
  );
}

/** On a large GPU the engine's own cache holds all documents, and LMCache has nothing left to do. */
function meaningOfMiss(rise: CacheCounters, queryTokens: number | null): string {
  const { gpuHitTokens } = rise;
  const fromGpu = gpuHitTokens !== null && queryTokens !== null && gpuHitTokens >= queryTokens / 2;
  return fromGpu
    ? "The query round was served from the engine's own prefix cache, not from LMCache; more documents (NUM_DOCUMENTS) or less GPU memory (GPU_MEMORY_UTILIZATION) let it overflow."
    : `The query round was not served from LMCache.${describeEviction(rise, 'NUM_DOCUMENTS')}`;
}

function completion(baseline: LongDocQaResult, lmcache: LongDocQaResult): readonly Gate[] {
  return [
    requestGate('baseline_completed', 'Completed requests, baseline', ...allOf(baseline)),
    requestGate('lmcache_completed', 'Completed requests, LMCache', ...allOf(lmcache)),
  ];
}

function allOf(result: LongDocQaResult): [LongDocQaResult['query'], number] {
  const records = [...result.warmup, ...result.query];
  return [records, records.length];
}

function speedGates({ settings, baseline, lmcache }: LongDocQaMeasurements): readonly Gate[] {
  const ttft = judge({
    name: 'query_ttft_per_prompt',
    title: 'Query TTFT with LMCache',
    unit: 's',
    measured: lmcache.summary.query_ttft_per_prompt,
    comparison: '<=',
    threshold: settings.MAX_LMCACHE_TTFT,
  });
  const roundTime = judge({
    name: 'query_round_time_per_prompt',
    title: 'Query round time with LMCache',
    unit: 's',
    measured: lmcache.summary.query_round_time_per_prompt,
    comparison: '<=',
    threshold: settings.MAX_LMCACHE_QUERY_ROUND_TIME,
  });
  const regression = { reason: 'regression', cause: 'threshold', timed: true } as const;
  return [
    { verdict: ttft, ...regression, meaning: 'The first token came too late.' },
    {
      verdict: roundTime,
      ...regression,
      meaning: `The query round took too long.${absoluteLimitHint(baseline, lmcache)}`,
    },
  ];
}

/**
 * Batch-invariant kernels decode a token in some 31 ms whatever the batch: slower than the absolute gate, cached or not.
 * Default ones lie about the gate itself (docs/real-runs). Which ones a server has cannot be asked.
 */
function absoluteLimitHint(baseline: LongDocQaResult, lmcache: LongDocQaResult): string {
  const change = relativeChange(baseline, lmcache);
  const meetsRelative =
    change.ttft !== null &&
    change.ttft <= relativeTtftPercent &&
    change.roundTime !== null &&
    change.roundTime <= relativeRoundTimePercent;
  if (!meetsRelative || (lmcache.simulated !== null && !lmcache.simulated.profile.includes('batch-invariant'))) {
    return '';
  }
  return (
    ` Beside the baseline it is good (TTFT ${change.ttft?.toFixed(1)} %, round time ${change.roundTime?.toFixed(1)} %). ` +
    'The absolute limit is for default kernels on an H200, which took 0.53 to 0.59 s there; ' +
    'batch-invariant kernels (BATCH_INVARIANT=1) are known to miss it. Set a MAX_LMCACHE_QUERY_ROUND_TIME that fits.'
  );
}

function relativeChange(baseline: LongDocQaResult, lmcache: LongDocQaResult) {
  return {
    ttft: changePercent(lmcache.summary.query_ttft_per_prompt, baseline.summary.query_ttft_per_prompt),
    roundTime: changePercent(lmcache.summary.query_round_time_per_prompt, baseline.summary.query_round_time_per_prompt),
  };
}

function relativeFigures({ baseline, lmcache }: LongDocQaMeasurements): readonly Verdict[] {
  const change = relativeChange(baseline, lmcache);
  const seconds = (name: string, title: string, measured: number | null) =>
    report({ name, title, unit: 's', measured });
  return [
    seconds('baseline_query_ttft', 'Query TTFT, baseline', baseline.summary.query_ttft_per_prompt),
    seconds('baseline_query_round_time', 'Query round time, baseline', baseline.summary.query_round_time_per_prompt),
    report({
      name: 'ttft_change',
      title: 'Query TTFT beside the baseline',
      unit: '%',
      measured: change.ttft,
      note: `upstream asks for at most ${relativeTtftPercent} %`,
    }),
    report({
      name: 'round_time_change',
      title: 'Query round time beside the baseline',
      unit: '%',
      measured: change.roundTime,
      note: `upstream asks for at most ${relativeRoundTimePercent} %`,
    }),
    seconds('warmup_round_time', 'Warm-up round time with LMCache', lmcache.summary.warmup_round_time_per_prompt),
    seconds(
      'baseline_warmup_round_time',
      'Warm-up round time, baseline',
      baseline.summary.warmup_round_time_per_prompt,
    ),
  ];
}

function compareAnswers(baseline: LongDocQaResult, lmcache: LongDocQaResult, allowed: number | null) {
  const pairs = lmcache.query.map((record) => ({
    index: record.index,
    lmcache: record.text,
    baseline: baseline.query[record.index]?.text ?? '(no such answer)',
  }));
  const differing = pairs.filter((pair) => pair.baseline !== pair.lmcache);
  return judgeBaselineDifference({
    differing: differing.length,
    compared: pairs.length,
    allowed,
    evidence: differing
      .slice(0, shownDifferences)
      .flatMap((pair) => [
        `query ${pair.index}`,
        `  baseline: ${JSON.stringify(pair.baseline.slice(0, shownCharacters))}`,
        `  LMCache:  ${JSON.stringify(pair.lmcache.slice(0, shownCharacters))}`,
      ]),
  });
}

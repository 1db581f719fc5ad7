import type { StepResult } from '../../results-schema/step-result.js';
import { changePercent, conclude, type Doubt, type Gate, judge, report } from '../../results-schema/verdicts.js';
import type { VllmBenchFile } from '../../results-schema/vllm-bench.js';
import { type CacheCounters, chunkTokens, proofGate } from '../cache-proof.js';
import type { VllmBenchSettingValues } from './settings.js';

/** Faster than this beside the baseline is no success of a cache that had nothing to give, but noise. */
const implausibleGainPercent = 10;
/** Tokenizers and chat templates add or lose a token here and there. */
const inputTolerancePercent = 1;
/** What new prompts may find in caches: the beginning that a chat template gives them, and their own after a preemption. */
const cachedTolerancePercent = 50;

/** The verdict on the throughput, by its name. */
export const throughputGateName = 'throughput_of_baseline';

/** What is judged of a result file. */
export type BenchFigures = Pick<VllmBenchFile, 'completed' | 'total_input_tokens' | 'total_token_throughput'>;

export interface BenchMeasurement {
  readonly figures: BenchFigures;
  /** What to do about a client that did not keep up; null while it did. */
  readonly clientOverload: string | null;
  /** First failures in words. */
  readonly failures: readonly string[];
}

export interface VllmBenchMeasurements {
  readonly settings: Pick<
    VllmBenchSettingValues,
    'NUM_PROMPTS' | 'RANDOM_INPUT_LEN' | 'RANDOM_SEED' | 'MAX_SLOWDOWN_PERCENT'
  >;
  readonly baseline: BenchMeasurement;
  readonly lmcache: BenchMeasurement;
  /** Counters over the timed part on LMCache. */
  readonly timedRise: CacheCounters;
  readonly replay: {
    readonly prompts: number;
    readonly rise: CacheCounters;
    /** Why the engine's own cache was not emptied before it; null: it was. */
    readonly resetProblem: string | null;
  };
  /** Whether the LMCache server's own counters can be read. */
  readonly lmcacheHasHttp: boolean;
  /** Added to each throughput, e.g. that it is wall time on a simulator. */
  readonly note: string | null;
}

/** The result of the step from what both servers did. */
export function judgeVllmBench(measurements: VllmBenchMeasurements): StepResult {
  const { settings, baseline, lmcache, note } = measurements;
  const gain = changePercent(lmcache.figures.total_token_throughput, baseline.figures.total_token_throughput);
  const throughput = (name: string, title: string, figures: BenchFigures) =>
    report({
      name,
      title,
      unit: 'tok/s',
      measured: figures.total_token_throughput,
      ...(note === null ? {} : { note }),
    });
  const completion = [
    completed('baseline', baseline, settings.NUM_PROMPTS),
    completed('lmcache', lmcache, settings.NUM_PROMPTS),
  ];
  const fresh = newPrompts(measurements);
  const ofNewPrompts = [
    ...proof(measurements),
    inputTokens('baseline', baseline.figures, settings),
    inputTokens('lmcache', lmcache.figures, settings),
    throughputGate(settings.MAX_SLOWDOWN_PERCENT, gain),
  ];
  return conclude({
    gates: [...completion, fresh, ...(fresh.verdict.outcome === 'passed' ? ofNewPrompts : [])],
    reported: [
      throughput('baseline_throughput', 'Token throughput, baseline', baseline.figures),
      throughput('lmcache_throughput', 'Token throughput, LMCache', lmcache.figures),
    ],
    doubts: findDoubts(measurements, gain),
  });
}

function throughputGate(maxSlowdownPercent: number, gain: number | null): Gate {
  return {
    verdict: judge({
      name: throughputGateName,
      title: 'Token throughput with LMCache',
      unit: '% of baseline',
      measured: gain === null ? null : 100 + gain,
      comparison: '>=',
      threshold: 100 - maxSlowdownPercent,
    }),
    reason: 'regression',
    cause: 'threshold',
    timed: true,
    meaning: 'LMCache slows the engine down.',
  };
}

function findDoubts({ baseline, lmcache }: VllmBenchMeasurements, gain: number | null): readonly Doubt[] {
  const doubts: Doubt[] = [];
  for (const remedy of [baseline.clientOverload, lmcache.clientOverload]) {
    if (remedy !== null) {
      doubts.push({ reason: 'client-overloaded', message: remedy });
    }
  }
  if (gain !== null && gain > implausibleGainPercent) {
    doubts.push({
      reason: 'noise',
      message:
        `With LMCache the throughput was ${gain.toFixed(1)} % higher although the prompts were new: ` +
        'the baseline was disturbed or cold. Run it again on a quiet machine.',
    });
  }
  return doubts;
}

function completed(server: 'baseline' | 'lmcache', measurement: BenchMeasurement, expected: number): Gate {
  return {
    verdict: judge({
      name: `${server}_completed`,
      title: `Completed prompts, ${server}`,
      unit: 'prompts',
      measured: measurement.figures.completed,
      comparison: '==',
      threshold: expected,
    }),
    reason: 'regression',
    cause: 'request-failed',
    meaning: `Not all prompts were answered (${server}).`,
    evidence: measurement.failures,
  };
}

function inputTokens(
  server: 'baseline' | 'lmcache',
  figures: BenchFigures,
  settings: VllmBenchMeasurements['settings'],
): Gate {
  const expected = settings.NUM_PROMPTS * settings.RANDOM_INPUT_LEN;
  const change = changePercent(figures.total_input_tokens, expected);
  return {
    verdict: judge({
      name: `${server}_input_tokens`,
      title: `Input tokens beside the ${expected} asked for, ${server}`,
      unit: '%',
      measured: change === null ? null : Math.abs(change),
      comparison: '<=',
      threshold: inputTolerancePercent,
      note: `${figures.total_input_tokens} tokens`,
    }),
    reason: 'unknown',
    cause: 'threshold',
    meaning: 'The prompts did not have the length that was asked for, so the throughput says nothing.',
  };
}

/**
 * Prompts that were sent before are in the caches: nothing is stored then, and what is timed is the cache. A seed that is
 * set makes the same ones again.
 */
function newPrompts({ settings, lmcache, timedRise }: VllmBenchMeasurements): Gate {
  const { externalHitTokens, gpuHitTokens } = timedRise;
  const found = (externalHitTokens ?? 0) + (gpuHitTokens ?? 0);
  const sent = lmcache.figures.total_input_tokens;
  const { RANDOM_SEED: seed } = settings;
  return {
    verdict: judge({
      name: 'timed_hit_tokens',
      title: 'Timed tokens that were in caches before',
      unit: '%',
      // Without any prompt token the gates around it fail.
      measured: found === 0 ? 0 : (found / sent) * 100,
      comparison: '<=',
      threshold: cachedTolerancePercent,
      note: `${found} tokens`,
    }),
    ...(seed === null ? { reason: 'unknown', cause: 'threshold' } : { reason: 'configuration', cause: 'bad-value' }),
    meaning: `The prompts were to be new, and were not.${
      seed === null
        ? ''
        : ` These engines have answered RANDOM_SEED=${seed} before: leave it out, choose another, or launch them anew.`
    }`,
  };
}

/** The prompts are new, so nothing hits while it is timed; but they are looked up, stored, and found again later. */
function proof({ settings, timedRise, replay, lmcacheHasHttp }: VllmBenchMeasurements): readonly Gate[] {
  const lookedUp = {
    name: 'looked_up_tokens',
    title: 'Tokens looked up in LMCache while timed',
    unit: 'tokens',
    measured: lmcacheHasHttp ? timedRise.lookupRequestedTokens : timedRise.externalQueryTokens,
    atLeast: settings.NUM_PROMPTS * chunkTokens,
  } as const;
  const stored = {
    name: 'stored_chunks',
    title: 'Chunks stored in LMCache while timed',
    unit: 'chunks',
    measured: timedRise.l1WriteChunks,
    atLeast: settings.NUM_PROMPTS,
  } as const;
  const found = {
    name: 'replay_hit_tokens',
    title: `Tokens a replay of ${replay.prompts} prompts took from LMCache`,
    unit: 'tokens',
    measured: replay.rise.externalHitTokens,
    atLeast: replay.prompts * chunkTokens,
  } as const;
  const replayMeaning = `A replay did not find in LMCache what had just been stored.${replay.resetProblem === null ? '' : ` ${replay.resetProblem}`}`;
  return [
    proofGate(lookedUp, 'The prompts were not looked up in LMCache.'),
    ...(lmcacheHasHttp ? [proofGate(stored, 'The prompts were not stored in LMCache.')] : []),
    proofGate(found, replayMeaning),
  ];
}

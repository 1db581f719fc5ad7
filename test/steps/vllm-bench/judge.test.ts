import { describe, expect, it } from 'vitest';
import { type BenchMeasurement, judgeVllmBench, type VllmBenchMeasurements } from '../../../steps/vllm-bench/judge.js';

function measurement(throughput: number, more: Partial<BenchMeasurement> = {}, completed = 50, tokens = 500_002) {
  const figures = { completed, total_input_tokens: tokens, total_token_throughput: throughput };
  return { figures, clientOverload: null, failures: [], ...more };
}

const rise = {
  externalQueryTokens: 500_002,
  externalHitTokens: 0,
  gpuHitTokens: 0,
  lookupRequestedTokens: 499_200,
  lookupHitTokens: 0,
  l1ReadChunks: 0,
  l1WriteChunks: 1950,
  l1EvictedChunks: 0,
};
const replay = { prompts: 5, rise: { ...rise, externalHitTokens: 49_920 }, resetProblem: null };

function judgeOf(changed: Partial<VllmBenchMeasurements>) {
  return judgeVllmBench({
    settings: { NUM_PROMPTS: 50, RANDOM_INPUT_LEN: 10_000, RANDOM_SEED: null, MAX_SLOWDOWN_PERCENT: 5 },
    // As recorded on an H200.
    baseline: measurement(20_107),
    lmcache: measurement(19_818),
    timedRise: rise,
    replay,
    lmcacheHasHttp: true,
    note: null,
    ...changed,
  });
}

describe('judgeVllmBench', () => {
  it('passes the recorded run: 1.4 % slower, two tokens more than asked for', () => {
    expect(judgeOf({})).toMatchObject({ outcome: 'passed' });
  });

  it('passes at the allowed slowdown and fails below it', () => {
    expect(judgeOf({ baseline: measurement(10_000), lmcache: measurement(9500) })).toMatchObject({ outcome: 'passed' });
    const result = judgeOf({ baseline: measurement(10_000), lmcache: measurement(9499) });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'regression', cause: 'threshold' });
    expect(result.outcome === 'failed' && result.message).toContain('94.99 % of baseline');
  });

  it('takes more than 10 % faster for noise, not for success', () => {
    const fast = judgeOf({ baseline: measurement(10_000), lmcache: measurement(11_001) });
    expect(fast).toMatchObject({ outcome: 'inconclusive', reason: 'noise' });
    expect(judgeOf({ baseline: measurement(10_000), lmcache: measurement(11_000) })).toMatchObject({
      outcome: 'passed',
    });
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('does not pass on a throughput of %s', (throughput) => {
    expect(judgeOf({ lmcache: measurement(throughput) })).toMatchObject({ outcome: 'failed' });
    expect(judgeOf({ baseline: measurement(throughput) })).toMatchObject({ outcome: 'failed' });
  });

  it('does not pass beside a baseline of nothing', () => {
    expect(judgeOf({ baseline: measurement(0) })).toMatchObject({ outcome: 'failed' });
  });

  it('fails when a prompt was not answered, on either server, with the first failures', () => {
    const failures = ['request 7: HTTP 500'];
    for (const server of ['baseline', 'lmcache'] as const) {
      const result = judgeOf({ [server]: measurement(20_000, { failures }, 49) });
      expect(result).toMatchObject({ outcome: 'failed', reason: 'regression', cause: 'request-failed' });
      expect(result.outcome === 'failed' && result.evidence).toEqual(failures);
    }
  });

  it('allows the input tokens to be 1 % off, not more', () => {
    expect(judgeOf({ lmcache: measurement(20_000, {}, 50, 505_000) })).toMatchObject({ outcome: 'passed' });
    expect(judgeOf({ lmcache: measurement(20_000, {}, 50, 505_001) })).toMatchObject({ outcome: 'failed' });
    expect(judgeOf({ baseline: measurement(20_000, {}, 50, 494_999) })).toMatchObject({ outcome: 'failed' });
    expect(judgeOf({ baseline: measurement(20_000, {}, 50, Number.NaN) })).toMatchObject({ outcome: 'failed' });
  });

  it('is inconclusive when the client did not keep up, on either server', () => {
    const clientOverload = 'Give the client a core of its own.';
    for (const server of ['baseline', 'lmcache'] as const) {
      const result = judgeOf({ [server]: measurement(15_000, { clientOverload }) });
      expect(result).toMatchObject({ outcome: 'inconclusive', reason: 'client-overloaded', message: clientOverload });
    }
  });

  it.each([
    ['nothing was looked up', { timedRise: { ...rise, lookupRequestedTokens: 0 } }],
    ['nothing was stored', { timedRise: { ...rise, l1WriteChunks: 0 } }],
    ['lookups could not be counted', { timedRise: { ...rise, lookupRequestedTokens: null } }],
    ['a replay found nothing', { replay: { ...replay, rise } }],
    ['the hits of the replay are no number', { replay: { ...replay, rise: { ...rise, externalHitTokens: null } } }],
  ])('fails as not exercised when %s, however good the throughput', (_, changed) => {
    const result = judgeOf({ ...changed, lmcache: measurement(20_107) });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
  });

  it('blames the seed, not LMCache, for prompts that the caches held before', () => {
    const settings = { NUM_PROMPTS: 50, RANDOM_INPUT_LEN: 10_000, RANDOM_SEED: 7, MAX_SLOWDOWN_PERCENT: 5 };
    const found = { ...rise, externalHitTokens: 250_000, gpuHitTokens: 2, l1WriteChunks: 0 };
    const again = judgeOf({ settings, timedRise: found, lmcache: measurement(40_000) });
    expect(again).toMatchObject({ outcome: 'failed', reason: 'configuration', cause: 'bad-value' });
    expect(again.outcome === 'failed' && again.message).toMatch(/^The prompts were to be new.* RANDOM_SEED=7 .*\.$/);
    // Half of the tokens, as an odd template or preemptions may bring about; and a seed that nobody has set.
    expect(judgeOf({ settings, timedRise: { ...found, gpuHitTokens: 1, l1WriteChunks: 1950 } })).toMatchObject({
      outcome: 'passed',
    });
    expect(judgeOf({ timedRise: found })).toMatchObject({ outcome: 'failed', reason: 'unknown' });
  });

  it('outweighs a doubt by a proof that fails', () => {
    const overload = measurement(20_000, { clientOverload: 'slow client' });
    expect(judgeOf({ lmcache: overload, timedRise: { ...rise, l1WriteChunks: 0 } })).toMatchObject({
      outcome: 'failed',
      reason: 'cache-not-exercised',
    });
  });

  it('takes the proof from vLLM alone where LMCache has no HTTP', () => {
    const blind = { ...rise, lookupRequestedTokens: null, l1WriteChunks: null };
    expect(judgeOf({ lmcacheHasHttp: false, timedRise: blind })).toMatchObject({ outcome: 'passed' });
    expect(judgeOf({ lmcacheHasHttp: false, timedRise: { ...blind, externalQueryTokens: 0 } })).toMatchObject({
      reason: 'cache-not-exercised',
    });
  });

  it("says why the engine's own cache may have answered the replay", () => {
    const result = judgeOf({ replay: { ...replay, rise, resetProblem: 'Start vLLM with VLLM_SERVER_DEV_MODE=1.' } });
    expect(result.outcome === 'failed' && result.message).toContain('VLLM_SERVER_DEV_MODE=1');
  });
});

import { describe, expect, it } from 'vitest';
import { judgeLongDocQa, type LongDocQaMeasurements } from '../../../steps/long-doc-qa/judge.js';
import { longDocQaSettings } from '../../../steps/long-doc-qa/settings.js';
import type { LongDocQaResult } from '../../../workloads/long-doc-qa.js';
import type { RequestRecord } from '../../../workloads/request.js';
import { settingsFor } from '../fake-context.js';
import { noCounts } from '../no-counts.js';

function request(index: number): RequestRecord {
  return {
    index,
    intendedStart: 0,
    readyAt: 0,
    sentAt: 0,
    bodySentAt: 0,
    headersAt: 0,
    firstByteAt: 0,
    firstTokenAt: 0.1,
    tokenTimes: new Float64Array([0.1]),
    endedAt: 0.2,
    status: 200,
    promptTokens: 10_009,
    completionTokens: 200,
    cachedTokens: null,
    finishReason: 'length',
    text: 'hi',
    outcome: { state: 'ok' },
  };
}

const quiet = { p50: 0, p99: 0, max: 0 };

function outcome(
  ttft: number | null,
  roundTime: number | null,
  more: Partial<LongDocQaResult> = {},
  overloaded = false,
): LongDocQaResult {
  return {
    summary: {
      query_ttft_per_prompt: ttft,
      query_round_time_per_prompt: roundTime,
      warmup_round_time_per_prompt: 0.96,
    },
    warmup: [request(0)],
    query: [request(0), request(1)],
    queryIsMiss: [false, false],
    failed: 0,
    simulated: null,
    clientHealth: {
      sendLagMs: overloaded ? { p50: 1, p99: 20, max: 50 } : quiet,
      eventLoopDelayMs: quiet,
      cpuSeconds: 0,
      wallSeconds: 1,
      sendLagBudgetMs: 5,
      overloaded,
      remedy: overloaded ? 'Give the client a core of its own.' : null,
    },
    interrupted: false,
    ...more,
  };
}

function judgeOf(changed: Partial<LongDocQaMeasurements>) {
  return judgeLongDocQa({
    settings: settingsFor({ settings: longDocQaSettings }),
    baseline: outcome(1.258, 0.945),
    lmcache: outcome(0.148, 0.558),
    queryRise: {
      externalQueryTokens: 20_018,
      externalHitTokens: 19_968,
      gpuHitTokens: 0,
      lookupRequestedTokens: 19_968,
      lookupHitTokens: 19_968,
      l1ReadChunks: 78,
      l1WriteChunks: 0,
      l1EvictedChunks: 0,
    },
    engineTtft: { baseline: 1.25, lmcache: null },
    ...changed,
  });
}

const batchInvariant = { baseline: outcome(1.355, 1.949), lmcache: outcome(0.191, 1.42) };

it("sets an engine's own account beside the client's, as far as it gave one", () => {
  const result = judgeOf({});
  const figures = result.outcome === 'skipped' ? [] : result.verdicts;
  expect(figures.find(({ name }) => name === 'baseline_engine_query_ttft')).toMatchObject({
    measured: 1.25,
    outcome: 'reported',
  });
  expect(figures.map(({ name }) => name)).not.toContain('engine_query_ttft');
});

describe('judgeLongDocQa', () => {
  it('passes the recorded run of an H200 with default kernels', () => {
    const result = judgeOf({});
    expect(result).toMatchObject({ outcome: 'passed' });
    expect(result.outcome === 'passed' && result.verdicts).toContainEqual(
      expect.objectContaining({ name: 'ttft_change', outcome: 'reported', measured: expect.closeTo(-88.2, 1) }),
    );
  });

  it('fails the recorded run with batch-invariant kernels, and says that these are known to miss it', () => {
    const result = judgeOf(batchInvariant);
    expect(result).toMatchObject({ outcome: 'failed', reason: 'regression' });
    expect(result.outcome === 'failed' && result.message).toMatch(/batch-invariant kernels .* are known to miss/);
  });

  it('has no such excuse where the relative gates are missed too, or where the simulator has other kernels', () => {
    const slow = judgeOf({ ...batchInvariant, lmcache: outcome(0.191, 1.8) });
    expect(slow.outcome === 'failed' && slow.message).not.toContain('batch-invariant');
    const simulated = { simulated: { profile: 'h200', speed: 10 } };
    const other = judgeOf({ ...batchInvariant, lmcache: outcome(0.191, 1.42, simulated) });
    expect(other.outcome === 'failed' && other.message).not.toContain('batch-invariant');
  });

  it.each([Number.NaN, null])('does not pass when a time is %s', (value) => {
    expect(judgeOf({ lmcache: outcome(value, 0.558) })).toMatchObject({ outcome: 'failed' });
    expect(judgeOf({ lmcache: outcome(0.148, value) })).toMatchObject({ outcome: 'failed' });
  });

  it('is inconclusive, not a regression, when a limit is missed by a client that did not keep up', () => {
    expect(judgeOf({ lmcache: outcome(0.3, 0.558, {}, true) })).toMatchObject({
      outcome: 'inconclusive',
      reason: 'client-overloaded',
    });
    // It was late by 50 ms at most: that does not explain a whole second.
    expect(judgeOf({ lmcache: outcome(1.22, 0.558, {}, true) })).toMatchObject({
      outcome: 'failed',
      reason: 'regression',
    });
    expect(judgeOf({ lmcache: outcome(0.3, 1.58, {}, true) })).toMatchObject({ reason: 'regression' });
    // A client in trouble only makes it slower: what passes nevertheless has passed.
    expect(judgeOf({ lmcache: outcome(0.148, 0.558, {}, true) })).toMatchObject({ outcome: 'passed' });
  });

  it('asks for half of the query tokens from LMCache', () => {
    const { queryRise } = { queryRise: { ...noCounts, externalHitTokens: 10_008 } };
    expect(judgeOf({ queryRise })).toMatchObject({ outcome: 'failed', reason: 'cache-not-exercised' });
    expect(judgeOf({ queryRise: { ...noCounts, externalHitTokens: 10_009 } })).toMatchObject({ outcome: 'passed' });
    expect(judgeOf({ queryRise: { ...noCounts, externalHitTokens: null, lookupHitTokens: 10_009 } })).toMatchObject({
      outcome: 'passed',
    });
    expect(judgeOf({ queryRise: { ...noCounts, externalHitTokens: null, lookupHitTokens: null } })).toMatchObject({
      reason: 'cache-not-exercised',
    });
  });
});

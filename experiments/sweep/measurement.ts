import type {
  CacheUse,
  ConversationStatistics,
  Latency,
  SweepMeasurement,
} from '../../results-schema/sweep-summary.js';
import type { MetricsSnapshot } from '../../workloads/metrics.js';
import { ttftSeconds } from '../../workloads/request.js';
import { mean, percentile } from '../../workloads/statistics.js';
import type { ReplayedRequest, ReplayResult } from './replay.js';

/** Turns beyond this one are told together. */
const lastTurnTold = 10;

/**
 * What a replay came to.
 * @param counters the server's metrics, as they changed during the replay
 * @param planned turns of the plan
 */
export function summariseReplay(
  replay: ReplayResult,
  counters: MetricsSnapshot,
  planned: number,
  serverStartSeconds: number,
): SweepMeasurement {
  const answered = replay.requests.filter(({ record }) => record.outcome.state === 'ok');
  const inputTokens = total(answered, ({ record }) => record.promptTokens ?? 0);
  const outputTokens = total(answered, tokensOf);
  const perSecond = (amount: number) => (replay.durationSeconds > 0 ? amount / replay.durationSeconds : 0);
  const gpu = cacheUse(counters, 'vllm:prefix_cache');
  const lmcache = cacheUse(counters, 'vllm:external_prefix_cache');
  const tpots = answered.flatMap((request) => tpotMs(request) ?? []);
  const cachedTokens = gpu.hitTokens + lmcache.hitTokens;
  return {
    requests: {
      planned,
      sent: planned - replay.unsent,
      completed: answered.length,
      failed: replay.requests.length - answered.length,
      failures: failures(replay.requests),
    },
    durationSeconds: replay.durationSeconds,
    inputTokens,
    outputTokens,
    requestThroughput: perSecond(answered.length),
    outputThroughput: perSecond(outputTokens),
    totalTokenThroughput: perSecond(inputTokens + outputTokens),
    ttftMs: latency(answered.flatMap((request) => ttftMs(request) ?? [])),
    tpotMs: tpots.length === 0 ? null : latency(tpots),
    e2elMs: latency(answered.flatMap((request) => e2elMs(request) ?? [])),
    cache: {
      gpu,
      lmcache,
      combinedHitRate: gpu.queriedTokens > 0 ? Math.min(1, cachedTokens / gpu.queriedTokens) : null,
    },
    conversations: conversationStatistics(answered, replay.requests),
    client: { sendLagP99Ms: replay.health.sendLagMs.p99, overloaded: replay.health.overloaded },
    simulated: replay.simulated,
    serverStartSeconds,
  };
}

/** vLLM counts tokens that were looked up and tokens that were found. */
function cacheUse(counters: MetricsSnapshot, name: string): CacheUse {
  const read = (kind: string) => Math.max(0, counters.sum(`${name}_${kind}_total`) || 0);
  const queriedTokens = read('queries');
  const hitTokens = read('hits');
  return { queriedTokens, hitTokens, hitRate: queriedTokens > 0 ? Math.min(1, hitTokens / queriedTokens) : null };
}

function conversationStatistics(
  answered: readonly ReplayedRequest[],
  sent: readonly ReplayedRequest[],
): ConversationStatistics {
  const turnsOf = new Map<number, number>();
  for (const { planned } of answered) turnsOf.set(planned.conversation, (turnsOf.get(planned.conversation) ?? 0) + 1);
  const turns = [...turnsOf.values()];
  const prompts = answered.map(({ record }) => record.promptTokens ?? 0);
  const endOf = new Map(answered.map(({ planned, endedSeconds }) => [planned.index, endedSeconds]));
  const gaps = sent.flatMap(({ planned, sentSeconds }) => {
    const before = planned.afterIndex === null ? undefined : endOf.get(planned.afterIndex);
    return before === undefined ? [] : [Math.max(0, sentSeconds - before)];
  });
  return {
    conversations: new Set(sent.map(({ planned }) => planned.conversation)).size,
    turns: answered.length,
    meanTurns: mean(turns),
    maxTurns: Math.max(0, ...turns),
    meanPromptTokens: mean(prompts),
    maxPromptTokens: prompts.reduce((most, prompt) => Math.max(most, prompt), 0),
    meanOutputTokens: mean(answered.map(tokensOf)),
    meanGapSeconds: gaps.length === 0 ? null : mean(gaps),
    byTurn: byTurn(answered),
  };
}

function byTurn(answered: readonly ReplayedRequest[]): ConversationStatistics['byTurn'] {
  const groups = new Map<number, ReplayedRequest[]>();
  for (const request of answered) {
    const turn = Math.min(request.planned.turn + 1, lastTurnTold);
    const group = groups.get(turn);
    if (group) group.push(request);
    else groups.set(turn, [request]);
  }
  const ordered = [...groups].sort(([a], [b]) => a - b);
  return ordered.map(([turn, requests]) => {
    const told = requests.filter(({ record }) => record.cachedTokens !== null && (record.promptTokens ?? 0) > 0);
    const prompts = total(told, ({ record }) => record.promptTokens ?? 0);
    const cached = total(told, ({ record }) => record.cachedTokens ?? 0);
    return {
      turn,
      orLater: turn === lastTurnTold,
      requests: requests.length,
      meanPromptTokens: mean(requests.map(({ record }) => record.promptTokens ?? 0)),
      meanTtftMs: mean(requests.flatMap((request) => ttftMs(request) ?? [])),
      cachedShare: prompts > 0 ? Math.min(1, cached / prompts) : null,
    };
  });
}

function failures(requests: readonly ReplayedRequest[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { record } of requests) {
    const { outcome } = record;
    if (outcome.state === 'ok') continue;
    const reason = outcome.reason === 'http-error' ? `http-${outcome.status}` : outcome.reason;
    counts[reason] = (counts[reason] ?? 0) + 1;
  }
  return counts;
}

function latency(valuesMs: readonly number[]): Latency {
  const at = (percent: number) => percentile(valuesMs, percent);
  return { mean: mean(valuesMs), median: at(50), p90: at(90), p95: at(95), p99: at(99) };
}

export function ttftMs({ record }: ReplayedRequest): number | null {
  const seconds = ttftSeconds(record);
  return seconds === null ? null : Math.max(0, seconds * 1000);
}

/** From the send to the last byte of the answer. */
export function e2elMs({ record }: ReplayedRequest): number | null {
  return record.sentAt === null ? null : Math.max(0, (record.endedAt - record.sentAt) * 1000);
}

/** As `vllm bench serve` has it: (latency - TTFT) / (output tokens - 1); null for an answer of one token. */
function tpotMs(request: ReplayedRequest): number | null {
  const [first, all] = [ttftMs(request), e2elMs(request)];
  const tokens = tokensOf(request);
  return first === null || all === null || tokens < 2 ? null : Math.max(0, (all - first) / (tokens - 1));
}

function tokensOf({ record }: ReplayedRequest): number {
  return record.completionTokens ?? record.tokenTimes.length;
}

function total<Item>(items: readonly Item[], read: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + read(item), 0);
}

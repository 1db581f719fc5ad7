import { describe, expect, it } from 'vitest';
import { summariseReplay } from '../../../experiments/sweep/measurement.js';
import { type ReplayResult, replayConversations } from '../../../experiments/sweep/replay.js';
import { warningsOf } from '../../../experiments/sweep/warnings.js';
import { ClientWatch } from '../../../workloads/client-health.js';
import { parseMetrics } from '../../../workloads/metrics.js';
import type { RequestRecord } from '../../../workloads/request.js';
import type { ConversationPlan, PlannedRequest } from '../../../workloads/traces/replay-plan.js';
import { startFakeOpenAi } from '../../fixtures/fake-openai.js';

const never = new AbortController().signal;

/** A plan of turns given as `[conversation, due seconds]`, with two tokens an answer. */
function planOf(turns: readonly (readonly [number, number])[]): ConversationPlan {
  const last = new Map<number, PlannedRequest>();
  const requests = turns.map(([conversation, dueSeconds], index): PlannedRequest => {
    const before = last.get(conversation);
    const request = {
      index,
      dueSeconds,
      afterIndex: before?.index ?? null,
      conversation,
      turn: before === undefined ? 0 : before.turn + 1,
      newTokens: 3,
      promptTokens: 3,
      outputTokens: 2,
      requestId: `${conversation}-${index}`,
    };
    last.set(conversation, request);
    return request;
  });
  const messagesOf: ConversationPlan['messagesOf'] = (index, answerOf) => {
    const request = requests[index];
    const before = request?.afterIndex ?? null;
    const history = before === null ? [] : messagesOf(before, answerOf);
    const answer = before === null ? [] : [{ role: 'assistant' as const, content: answerOf?.(before) ?? 'made' }];
    return [...history, ...answer, { role: 'user', content: `question ${index}` }];
  };
  return { requests, conversations: last.size, notes: new Map(), messagesOf, promptOf: () => '' };
}

/** An answer of two tokens. */
const answered = (index: number): RequestRecord => ({
  ...{ index, intendedStart: 0, readyAt: 0, sentAt: 0, bodySentAt: 0, headersAt: 0, firstByteAt: 0 },
  ...{ firstTokenAt: 0.1, tokenTimes: Float64Array.of(0.1, 0.2), endedAt: 0.2, status: 200, promptTokens: 3 },
  ...{ completionTokens: 2, cachedTokens: null, finishReason: 'length', text: 'a b', outcome: { state: 'ok' } },
});

const options = { signal: never, timeLimitSeconds: 60, requestTimeoutSeconds: 10 };

describe('a replay', () => {
  it("keeps each conversation's turns in order, with the server's answers in the next prompt", async () => {
    const bodies: { messages: { content: string }[] }[] = [];
    const server = await startFakeOpenAi({
      tokenGapMs: 20,
      tokenText: (request, index) => `a${request}.${index} `,
      intercept: ({ request }) => {
        if (request.path.endsWith('/chat/completions')) bodies.push(JSON.parse(request.body));
        return false;
      },
    });
    try {
      // All due at once: second turns still wait for the first ones' answers.
      const plan = planOf([
        [0, 0],
        [1, 0],
        [0, 0],
        [1, 0.01],
        [0, 0.02],
      ]);
      const replay = await replayConversations({ baseUrl: server.baseUrl, model: 'm' }, plan, options);
      expect(replay.unsent).toBe(0);
      const times = new Map(replay.requests.map((request) => [request.planned.index, request]));
      for (const { planned, sentSeconds } of replay.requests) {
        const before = planned.afterIndex === null ? undefined : times.get(planned.afterIndex);
        if (before !== undefined) expect(sentSeconds).toBeGreaterThanOrEqual(before.endedSeconds);
      }
      const third = bodies.find(({ messages }) => messages.at(-1)?.content === 'question 4');
      expect(third?.messages.map(({ content }) => content)).toEqual([
        'question 0',
        expect.stringMatching(/^a[01]\.0 a[01]\.1 $/),
        'question 2',
        expect.stringMatching(/^a[23]\.0 a[23]\.1 $/),
        'question 4',
      ]);
      const counters = parseMetrics('vllm:prefix_cache_queries_total 10\nvllm:prefix_cache_hits_total 4\n');
      const measurement = summariseReplay(replay, counters, plan.requests.length, 1);
      expect(measurement).toMatchObject({
        requests: { planned: 5, sent: 5, completed: 5, failed: 0 },
        outputTokens: 10,
        cache: { gpu: { hitRate: 0.4 }, lmcache: { hitRate: null }, combinedHitRate: 0.4 },
        conversations: { conversations: 2, turns: 5, maxTurns: 3 },
      });
      expect(measurement.conversations.byTurn.map(({ turn, requests }) => [turn, requests])).toEqual([
        [1, 2],
        [2, 2],
        [3, 1],
      ]);
    } finally {
      await server.close();
    }
  });

  it('sends nothing after its time, nor after a turn that failed', async () => {
    const server = await startFakeOpenAi({
      intercept: async (exchange) => {
        if (!exchange.request.body.includes('question 0')) return false;
        await exchange.answer(500, '{}');
        return true;
      },
    });
    try {
      const plan = planOf([
        [0, 0],
        [0, 0.05],
        [1, 0.1],
        [1, 5],
      ]);
      const target = { baseUrl: server.baseUrl, model: 'm' };
      const replay = await replayConversations(target, plan, { ...options, timeLimitSeconds: 0.2 });
      expect(replay.requests.map(({ planned, record }) => [planned.index, record.outcome.state])).toEqual([
        [0, 'failed'],
        [2, 'ok'],
      ]);
      expect(replay.unsent).toBe(2);
      const { requests } = summariseReplay(replay, parseMetrics(''), 4, 1);
      expect(requests).toEqual({ planned: 4, sent: 2, completed: 1, failed: 1, failures: { 'http-500': 1 } });
    } finally {
      await server.close();
    }
  });
});

describe('the warnings of a replay', () => {
  const plan = planOf(Array.from({ length: 11 }, (_, index) => [0, index] as const));
  /** As if turns had been sent at these times; the others were not. */
  const warnings = (sentAt: readonly number[]): readonly string[] => {
    const requests = sentAt.flatMap((sentSeconds, index) => {
      const planned = plan.requests[index];
      return planned === undefined
        ? []
        : [{ planned, sentSeconds, endedSeconds: sentSeconds, record: answered(index) }];
    });
    const health = new ClientWatch().stop([], []);
    const unsent = plan.requests.length - requests.length;
    const replay: ReplayResult = { requests, unsent, durationSeconds: 1, simulated: null, health };
    const counters = parseMetrics('vllm:prefix_cache_queries_total 1\nvllm:external_prefix_cache_queries_total 1\n');
    return warningsOf(summariseReplay(replay, counters, plan.requests.length, 1), plan, replay);
  };

  it('say how much of the rate was sent, and how many turns never were', () => {
    const inTime = plan.requests.map(({ dueSeconds }) => dueSeconds);
    expect(warnings(inTime)).toEqual([]);
    expect(warnings(inTime.map((time) => time * 1.2))).toEqual([]);
    expect(warnings(inTime.map((time) => time * 2))).toEqual([
      'sent were 0.55 of 1.10 requests a second: turns wait for the answers before them',
    ]);
    expect(warnings([0, 5, 10])).toEqual([
      'sent were 0.30 of 1.10 requests a second, 8 of 11 requests were not sent in time: turns wait for the answers before them',
    ]);
    expect(warnings(inTime.slice(0, -1))).toEqual([
      '1 of 11 requests were not sent in time: turns wait for the answers before them',
    ]);
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBuiltInTokenizer } from '../../simulator/tokenizer/built-in-tokenizer.js';
import {
  defaultShape,
  type GenerateOptions,
  generateConversations,
} from '../../workloads/traces/generate-conversations.js';
import { openTrace } from '../../workloads/traces/open-trace.js';
import { type ConversationPlanOptions, conversationPlan } from '../../workloads/traces/replay-plan.js';
import type { TraceRequest } from '../../workloads/traces/trace.js';
import { textOf } from '../../workloads/traces/turn-text.js';
import { writeConversationCsv } from '../../workloads/traces/write-csv.js';

let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lmcache-ci-replay-'));
});
afterAll(() => rm(directory, { recursive: true }));

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

describe('made conversations', () => {
  const hours: GenerateOptions = { ...defaultShape, seed: 3, seconds: 20_000 };
  const requests = [...generateConversations(hours)];

  it('are the same for the same seed, and others for another', () => {
    expect([...generateConversations(hours)]).toEqual(requests);
    expect([...generateConversations({ ...hours, seed: 4 })][0]).not.toEqual(requests[0]);
  });

  it('come in order, each turn after the answer before it, within their limits', () => {
    const before = new Map<number, TraceRequest>();
    let latest = 0;
    const wrong = requests.filter((request, index) => {
      const { promptTokens, newTokens, outputTokens } = request;
      const time = request.timeSeconds ?? -1;
      const last = before.get(request.conversation);
      const history = last === undefined ? 0 : last.promptTokens + last.outputTokens;
      const isRight =
        request.index === index &&
        time >= latest &&
        request.turn === (last?.turn ?? -1) + 1 &&
        promptTokens === history + newTokens &&
        promptTokens + outputTokens <= defaultShape.maxContextTokens &&
        (last === undefined || time > (last.timeSeconds ?? 0) + last.outputTokens * 0.02);
      latest = time;
      before.set(request.conversation, request);
      return !isRight;
    });
    expect(wrong).toEqual([]);
    expect(latest).toBeLessThanOrEqual(20_000);
  });

  it('have the distributions that were asked for', () => {
    const firsts = requests.filter(({ turn }) => turn === 0);
    expect(firsts.length / 20_000).toBeCloseTo(defaultShape.conversationsPerSecond, 1);
    expect(median(firsts.map(({ newTokens }) => newTokens)) / 900).toBeCloseTo(1, 1);
    expect(median(requests.filter(({ turn }) => turn > 0).map(({ newTokens }) => newTokens)) / 120).toBeCloseTo(1, 1);
    expect(median(requests.map(({ outputTokens }) => outputTokens)) / 220).toBeCloseTo(1, 1);
  });

  it('survive their CSV', async () => {
    const path = join(directory, 'made.csv');
    const some = requests.slice(0, 5000);
    expect(await writeConversationCsv(path, some, 1_748_494_800)).toBe(5000);
    const read: TraceRequest[] = [];
    for await (const batch of (await openTrace(path)).batches()) read.push(...batch);
    expect(read.map((request) => ({ ...request, timeSeconds: 0 }))).toEqual(
      some.map((request) => ({ ...request, timeSeconds: 0 })),
    );
    for (const [index, { timeSeconds }] of read.entries()) {
      expect(Math.abs((timeSeconds ?? 0) - (some[index]?.timeSeconds ?? 0))).toBeLessThan(0.0011);
    }
  });

  it('need a limit, and a shape that can be drawn', () => {
    expect(() => [...generateConversations({ ...defaultShape, seed: 0 })]).toThrow('A limit is needed');
    const empty = { ...defaultShape, seed: 0, seconds: 1, conversationsPerSecond: 0 };
    expect(() => [...generateConversations(empty)]).toThrow('conversationsPerSecond must be above 0, not "0"');
  });
});

describe('made texts', () => {
  it('have as many tokens as were asked for', () => {
    const { encode } = createBuiltInTokenizer(151_936);
    for (const tokens of [1, 2, 17, 256, 4096]) expect(encode(textOf(`a${tokens}`, tokens))).toHaveLength(tokens);
  });

  it('are told by their names alone', () => {
    expect(textOf('a', 50).startsWith(textOf('a', 20))).toBe(true);
    expect(textOf('b', 20)).not.toBe(textOf('a', 20));
  });
});

describe('a replay plan', () => {
  const common: ConversationPlanOptions = { requestRate: 2, numPrompts: 1000, timeLimitSeconds: 1e6, seed: 1 };
  const rows = [
    [0, 'a', 100, 50],
    [1, 'b', 200, 10],
    [2, 'a', 30, 60],
    [4, 'b', 5, 5],
    [10, 'a', 7, 8],
  ] as const;
  async function planOf(text: string, options: Partial<ConversationPlanOptions> = {}) {
    const path = join(directory, 'plan');
    await writeFile(path, text);
    return conversationPlan(await openTrace(path), { ...common, ...options });
  }
  const csv = (given: readonly (readonly (number | string)[])[]) =>
    `time,conversation,input_tokens,output_tokens\n${given.map((fields) => `${fields.join(',')}\n`).join('')}`;

  it('keeps the trace’s bursts at another rate, and turns behind each other', async () => {
    const { requests, conversations } = await planOf(csv(rows));
    expect(conversations).toBe(2);
    expect(requests.map(({ dueSeconds }) => dueSeconds)).toEqual([0, 0.2, 0.4, 0.8, 2]);
    expect(requests.map(({ afterIndex }) => afterIndex)).toEqual([null, null, 0, 1, 2]);
    expect(requests.map(({ promptTokens }) => promptTokens)).toEqual([100, 200, 180, 215, 247]);
    expect(requests.map(({ requestId }) => requestId)).toEqual([
      'conv_0_0',
      'conv_1_0',
      'conv_0_1',
      'conv_1_1',
      'conv_0_2',
    ]);
  });

  it('does so for any trace in any order', async () => {
    const request = fc.tuple(fc.nat(500), fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 1, max: 20 }), fc.nat(9));
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 2, maxLength: 15 }), async (given) => {
        const { requests, messagesOf, promptOf } = await planOf(csv(given)).then((plan) => ({
          requests: plan.requests,
          messagesOf: plan.messagesOf.bind(plan),
          promptOf: plan.promptOf.bind(plan),
        }));
        expect(requests).toHaveLength(given.length);
        const last = requests.at(-1)?.dueSeconds ?? 0;
        if (new Set(given.map(([time]) => time)).size > 1) expect(last).toBeCloseTo((given.length - 1) / 2, 9);
        for (const { index, dueSeconds, afterIndex, turn, conversation } of requests) {
          if (index > 0) expect(dueSeconds).toBeGreaterThanOrEqual(requests[index - 1]?.dueSeconds ?? 0);
          expect(messagesOf(index)).toHaveLength(2 * turn + 1);
          if (afterIndex === null) continue;
          expect(requests[afterIndex]).toMatchObject({ conversation, turn: turn - 1 });
          expect(messagesOf(index).slice(0, -2)).toEqual(messagesOf(afterIndex));
          expect(promptOf(index).startsWith(promptOf(afterIndex))).toBe(true);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('takes real answers into the history, made ones where there are none', async () => {
    const plan = await planOf(csv(rows));
    const real = plan.messagesOf(4, (index) => (index === 2 ? 'really' : undefined));
    expect(real.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant', 'user']);
    expect(real[3]?.content).toBe('really');
    expect(real[1]?.content.split(' ')).toHaveLength(50);
    expect(real[4]?.content.split(' ')).toHaveLength(7);
    expect((await planOf(csv(rows), { seed: 2 })).promptOf(0)).not.toBe(plan.promptOf(0));
  });

  it('stops at the number of prompts and at the time limit, the earliest first', async () => {
    const backwards = [...rows].reverse();
    const { requests } = await planOf(csv(backwards), { numPrompts: 3 });
    expect(requests.map(({ newTokens }) => newTokens)).toEqual([100, 200, 30]);
    expect((await planOf(csv(rows), { timeLimitSeconds: 0.5 })).requests).toHaveLength(3);
  });

  it('is all at once at an infinite rate', async () => {
    const { requests } = await planOf(csv(rows), { requestRate: Number.POSITIVE_INFINITY });
    expect(requests.map(({ dueSeconds }) => dueSeconds)).toEqual([0, 0, 0, 0, 0]);
  });

  it('puts the answer into the prompt where decoding is mocked', async () => {
    const { requests } = await planOf(csv(rows), { mockDecoding: true });
    expect(requests[2]).toMatchObject({ newTokens: 90, promptTokens: 241, outputTokens: 1 });
  });

  it('leaves out what exceeds the context, with what follows it', async () => {
    const { requests, notes } = await planOf(csv(rows), { maxContextTokens: 220 });
    expect(requests.map(({ conversation, turn }) => [conversation, turn])).toEqual([
      [0, 0],
      [1, 0],
      [1, 1],
    ]);
    expect([...notes.values()]).toEqual([2]);
    await expect(planOf(csv(rows), { maxContextTokens: 10 })).rejects.toThrow('holds no request that can be replayed');
  });

  it('uses recorded texts, at made times where there are none', async () => {
    const conversations = [{ value: 'hi' }, { value: 'hello' }, { value: 'bye' }, { value: 'ciao' }];
    const plan = await planOf(JSON.stringify([{ conversations }, { conversations }]));
    const second = plan.requests.find(({ turn }) => turn === 1);
    expect(plan.messagesOf(second?.index ?? -1).map(({ content }) => content)).toEqual(['hi', 'hello', 'bye']);
    expect(plan.requests.at(-1)?.dueSeconds).toBeCloseTo(1.5, 9);
  });

  it('gives equal blocks equal texts', async () => {
    const line = (timestamp: number, hash_ids: readonly number[], input_length: number) =>
      `${JSON.stringify({ timestamp, input_length, output_length: 5, hash_ids })}\n`;
    const plan = await planOf(line(0, [1, 2], 700) + line(1000, [1, 3, 4], 1500));
    const [first = '', second = ''] = [plan.promptOf(0), plan.promptOf(1)].map((text) => text.split(' '));
    expect([first.length, second.length]).toEqual([700, 1500]);
    expect(second.slice(0, 512)).toEqual(first.slice(0, 512));
    expect(second.slice(512, 600)).not.toEqual(first.slice(512, 600));
  });

  it.each([{ requestRate: 0 }, { numPrompts: 1.5 }, { timeLimitSeconds: 0 }, { seed: 0.5 }])(
    'refuses %j',
    async (wrong) => {
      await expect(planOf(csv(rows), wrong)).rejects.toThrow(RangeError);
    },
  );
});

import { afterEach, describe, expect, test } from 'vitest';
import type { BenchServeOptions } from '../../workloads/bench/options.js';
import { runBenchServe } from '../../workloads/bench-serve.js';
import { multiRoundQaCsv } from '../../workloads/multi-round-qa-csv.js';
import {
  countMultiRoundQaRequests,
  multiRoundQaQuestion,
  multiRoundQaUsers,
} from '../../workloads/multi-round-qa-plan.js';
import { mean } from '../../workloads/statistics.js';
import { type FakeOpenAiOptions, startFakeOpenAi } from '../fixtures/fake-openai.js';
import type { RawHttpServer } from '../fixtures/raw-http-server.js';

const plan = { numUsers: 2, numRounds: 3, qps: 2, sharedSystemPrompt: 3, userHistoryPrompt: 2, timeSeconds: 2.9 };

describe('the schedule', () => {
  test('begins in the middle: users have asked before, others join', () => {
    // A gap of 1 s, a session of 2 s, a user a second; user 1 has asked all three before the run begins.
    expect(multiRoundQaUsers(plan)).toEqual([
      { userId: 2, firstQuestion: 3, firstDueSeconds: 1 },
      { userId: 3, firstQuestion: 1, firstDueSeconds: 0 },
      { userId: 4, firstQuestion: 1, firstDueSeconds: 1 },
      { userId: 5, firstQuestion: 1, firstDueSeconds: 2 },
    ]);
    // User 2 one; user 3 at 0, 1, 2; user 4 at 1, 2; user 5 at 2.
    expect(countMultiRoundQaRequests(plan)).toBe(7);
  });

  test('of more users keeps the rate asked for', () => {
    const long = { ...plan, numUsers: 15, numRounds: 20, qps: 1.5, timeSeconds: 200 };
    expect(countMultiRoundQaRequests(long) / 200).toBeGreaterThan(1.35);
    expect(countMultiRoundQaRequests(long) / 200).toBeLessThan(1.65);
  });

  test('of one round has nobody asked before', () => {
    expect(multiRoundQaUsers({ ...plan, numRounds: 1 }).map(({ firstDueSeconds }) => firstDueSeconds)).toEqual([0, 0]);
  });

  test.each([{ numUsers: 0 }, { numRounds: 1.5 }, { qps: 0 }, { timeSeconds: Number.POSITIVE_INFINITY }])(
    'refuses %o',
    (wrong) => {
      expect(() => multiRoundQaUsers({ ...plan, ...wrong })).toThrow(Object.keys(wrong)[0]);
    },
  );

  test('the first question brings the context', () => {
    const user = { userId: 7, firstQuestion: 2, firstDueSeconds: 0 };
    expect(multiRoundQaQuestion(plan, user, 2)).toBe(
      "Hi, here's some system prompt: hi hi hi.For user 7, here are some other context: hi hi." +
        "Here's question #2: can you tell me a new long story with a happy ending?",
    );
    expect(multiRoundQaQuestion(plan, user, 3)).toBe(
      "Here's question #3: can you tell me a new long story with a happy ending?",
    );
  });
});

describe('a run', () => {
  let server: RawHttpServer | null = null;
  afterEach(async () => {
    await server?.close();
    server = null;
  });

  async function run(
    fake: FakeOpenAiOptions = {},
    signal = new AbortController().signal,
    more: Partial<BenchServeOptions> = {},
  ) {
    server = await startFakeOpenAi({
      // Five simulated seconds a second.
      versionHeaders: { 'x-lmcache-ci-simulated': 'h200', 'x-lmcache-ci-sim-speed': '5' },
      ...fake,
    });
    const result = await runBenchServe(
      { baseUrl: server.baseUrl, model: 'm' },
      {
        backend: 'openai-chat',
        dataset: { name: 'multi-round-qa', answerLen: 4, ...plan },
        numPrompts: countMultiRoundQaRequests(plan),
        requestRate: plan.qps,
        ignoreEos: false,
        saveDetailed: true,
        signal,
        ...more,
      },
    );
    return { result, requests: server.requests.slice(10) };
  }

  test('holds conversations: every request has all that was said before', async () => {
    const { result, requests } = await run();
    expect(result.json).toMatchObject({ completed: 7, failed: 0, num_prompts: 7, request_rate: 2 });
    const ofUser = (id: string) => requests.filter(({ headers }) => headers['x-user-id'] === id);
    const bodies = ofUser('3').map(({ body }) => JSON.parse(body));
    expect(bodies.map(({ messages }) => messages.map(({ role }: { role: string }) => role))).toEqual([
      ['user'],
      ['user', 'assistant', 'user'],
      ['user', 'assistant', 'user', 'assistant', 'user'],
    ]);
    expect(bodies[2].messages.slice(0, 3)).toEqual(bodies[1].messages);
    expect(bodies[1].messages[1].content).toBe(result.records[0]?.text);
    expect(Object.keys(bodies[0])).toEqual([
      'messages',
      'model',
      'temperature',
      'stream',
      'max_tokens',
      'stream_options',
    ]);
    expect(ofUser('2')).toHaveLength(1);
    expect(result.records.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    const dues = result.records.map(({ intendedStart }) => intendedStart);
    expect(dues).toEqual([...dues].sort((a, b) => a - b));
    for (const record of result.records) {
      expect(record.sentAt).toBeGreaterThanOrEqual(record.intendedStart);
    }
  });

  test('... also when no text is kept for the result', async () => {
    const { result, requests } = await run({}, undefined, { saveDetailed: false, keepTexts: false });
    const second = requests.map(({ body }) => JSON.parse(body).messages).find(({ length }) => length === 3);
    expect(second[1]).toEqual({ role: 'assistant', content: 't0 t1 t2 t3 ' });
    expect(result.json.generated_texts).toBeUndefined();
  });

  test('takes one thread: asking for more is refused', async () => {
    await expect(run({}, undefined, { workers: 2 })).rejects.toThrow('it takes one worker');
  });

  test('gives the summary and the CSV file', async () => {
    const { result } = await run();
    const { multi_round_qa: summary } = result.json.lmcache_ci;
    expect(summary).toMatchObject({ configured_qps: 2, requests_on_the_fly: 0 });
    expect(summary?.processing_speed).toBeCloseTo(7 / result.json.duration, 9);
    expect(summary?.average_ttft).toBeCloseTo(mean(result.json.ttfts ?? []), 9);
    const lines = multiRoundQaCsv(result.records, result.turns, multiRoundQaUsers(plan)).trimEnd().split('\n');
    expect(lines[0]).toBe(
      'prompt_tokens,generation_tokens,ttft,generation_time,user_id,question_id,launch_time,finish_time',
    );
    expect(lines.slice(1).map((line) => line.split(',').slice(4, 6).join(' '))).toEqual([
      ...['2 1', '3 1', '3 2', '3 3', '4 1', '4 2', '5 1'],
    ]);
  });

  test('a failed question ends its conversation', async () => {
    const { result } = await run({
      intercept: async (exchange) => {
        const fails = exchange.request.headers['x-user-id'] === '3';
        if (fails) {
          await exchange.answer(503, 'busy');
        }
        return fails;
      },
    });
    expect(result.json).toMatchObject({ completed: 4, failed: 1 });
    expect(result.json.lmcache_ci.failures).toEqual({ 'http-503': 1 });
  });

  test('an answer that comes late delays the next question, which counts from when it was due', async () => {
    const { result } = await run({
      intercept: async (exchange) => {
        if (exchange.request.headers['x-user-id'] === '3') {
          await new Promise((resolve) => setTimeout(resolve, 300));
        }
        return false;
      },
    });
    const [, second] = result.records.filter((_, index) => result.turns[index]?.conversation === 1);
    expect((second?.readyAt ?? 0) - (second?.intendedStart ?? 0)).toBeGreaterThan(0.3);
  });

  test('an interruption keeps what was answered', async () => {
    const controller = new AbortController();
    const { result } = await run(
      {
        intercept: async (exchange) => {
          if (exchange.request.headers['x-user-id'] === '2') {
            controller.abort();
          }
          return controller.signal.aborted;
        },
      },
      controller.signal,
    );
    expect(result.interrupted).toBe(true);
    expect(result.json.completed).toBeGreaterThanOrEqual(1);
    expect(result.json.lmcache_ci).toMatchObject({ stopped_by: 'signal', valid: false });
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import { EngineWatch } from '../../workloads/recording/engine-watch.js';
import { arrivalLine, decodeLine } from '../../workloads/recording/recording-csv.js';
import { WordPrompts } from '../../workloads/recording/word-prompts.js';
import type { RequestRecord } from '../../workloads/request.js';
import { SINGLE_TOKEN_WORDS } from '../../workloads/traces/turn-text.js';
import { type RawExchange, RawHttpServer } from '../fixtures/raw-http-server.js';

const { signal } = new AbortController();
let server: RawHttpServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

async function start(answer: (exchange: RawExchange) => unknown): Promise<string> {
  server = await RawHttpServer.start(answer);
  return server.baseUrl;
}

const LINE_BREAK = 10;
const BEGIN = 1;
const wordOf = (id: number): string => ` ${[...String(id)].map((digit) => 'abcdefghij'[Number(digit)]).join('')}`;
const idOf = (word: string): number => Number([...word.trim()].map((letter) => 'abcdefghij'.indexOf(letter)).join(''));

/** A vocabulary of words of which those with an odd id are never what a text is encoded to, as in real ones. */
function encode(text: string): number[] {
  return [...text.matchAll(/\n| ?[a-z]+/g)].flatMap(([piece]) => {
    if (piece === '\n') return [LINE_BREAK];
    const id = idOf(piece);
    return piece.startsWith(' ') && id % 2 === 0 ? [id] : [2, 3, 4];
  });
}

function tokenizerAnswer(exchange: RawExchange, options: { readonly decodes: boolean }): unknown {
  const { path, body } = exchange.request;
  const asked = JSON.parse(body);
  if (path === '/tokenize') {
    const tokens = [...(asked.add_special_tokens ? [BEGIN] : []), ...encode(asked.prompt)];
    return exchange.answer(200, JSON.stringify({ tokens }));
  }
  if (path !== '/detokenize' || !options.decodes) return exchange.answer(404, '{}');
  const prompt = asked.tokens.map((id: number) => (id === LINE_BREAK ? '\n' : wordOf(id))).join('');
  return exchange.answer(200, JSON.stringify({ prompt }));
}

async function wordPrompts(seed: number, decodes = true): Promise<WordPrompts> {
  const baseUrl = server?.baseUrl ?? (await start((exchange) => tokenizerAnswer(exchange, { decodes })));
  return WordPrompts.open({ baseUrl, model: 'm' }, seed, signal);
}

describe('prompts of random words', () => {
  it('are made of the words of the vocabulary that are one token, and as long as asked for', async () => {
    const prompts = await wordPrompts(7);
    expect(prompts.distinctWords).toBe(10_000);
    const text = await prompts.text(1234);
    expect(encode(text)).toHaveLength(1233); // and the one that begins every prompt
    expect(new Set(encode(text)).size).toBeGreaterThan(1000);
    expect(encode(text).every((id) => id % 2 === 0)).toBe(true);
    const ids = await prompts.ids(321);
    expect(ids).toHaveLength(321);
    expect(ids).not.toContain(BEGIN);
  });

  it('are the same for the same seed, and others for another', async () => {
    const texts = await Promise.all(
      [1, 1, 2].map(async (seed) => {
        const prompts = await wordPrompts(seed);
        const text = await prompts.text(20);
        return text;
      }),
    );
    expect(texts[0]).toBe(texts[1]);
    expect(texts[0]).not.toBe(texts[2]);
  });

  it('are made of common words where the vocabulary is not told, of several tokens each if need be', async () => {
    const prompts = await wordPrompts(3, false);
    expect(prompts.distinctWords).toBe(SINGLE_TOKEN_WORDS.length);
    const text = await prompts.text(500);
    expect(
      text
        .trim()
        .split(' ')
        .every((word) => SINGLE_TOKEN_WORDS.includes(word)),
    ).toBe(true);
    // Three tokens a word and one at the beginning.
    expect(encode(text)).toHaveLength(498);
  });
});

describe('the watch over the engine', () => {
  const page = (count: number, sum: number, running = 0): string =>
    [
      `vllm:num_requests_running{engine="0"} ${running}`,
      `vllm:cache_config_info{block_size="16",num_gpu_blocks="7281"} 1`,
      ...['time_to_first_token_seconds', 'request_queue_time_seconds'].flatMap((name) => [
        `vllm:${name}_sum{engine="0"} ${sum}`,
        `vllm:${name}_count{engine="0"} ${count}`,
      ]),
    ].join('\n');

  async function watchOver(pages: readonly string[]): Promise<{ watch: EngineWatch; asked: () => number }> {
    let asked = 0;
    const baseUrl = await start((exchange) => {
      const text = pages[Math.min(asked, pages.length - 1)] ?? '';
      asked += 1;
      return text === '' ? exchange.answer(404, 'none') : exchange.answer(200, text);
    });
    return { watch: new EngineWatch(baseUrl, signal), asked: () => asked };
  }

  it('waits until nothing runs, and until a request is counted', async () => {
    const { watch, asked } = await watchOver([page(3, 1, 2), page(3, 1), page(3, 1), page(4, 1.25)]);
    const before = await watch.idle();
    expect(asked()).toBe(2);
    // Without prefill times: the server has no such metric.
    expect(await watch.timesSince(before)).toEqual({ serverTtft: 0.25, queue: 0.25, prefill: null });
  });

  it('tells nothing of a request that others came between', async () => {
    const { watch } = await watchOver([page(3, 1), page(5, 2)]);
    expect(await watch.timesSince(await watch.idle())).toEqual({ serverTtft: null, queue: null, prefill: null });
  });

  it('tells nothing where there are no metrics, and how much KV there is', async () => {
    const none = await watchOver(['']);
    expect(await none.watch.idle()).toBeNull();
    expect(await none.watch.kvPool()).toBeNull();
    await server?.close();
    const { watch } = await watchOver([page(0, 0)]);
    expect(await watch.kvPool()).toEqual({ blocks: 7281, tokens: 116_496 });
  });
});

describe('rows', () => {
  it('have no comma or line end within a cell', () => {
    const record: RequestRecord = {
      ...{ index: 4, intendedStart: 0, readyAt: 0, sentAt: 1, bodySentAt: 1, headersAt: 1, firstByteAt: null },
      ...{ firstTokenAt: null, tokenTimes: new Float64Array(0), endedAt: 2, status: 400, promptTokens: null },
      ...{ completionTokens: null, cachedTokens: null, finishReason: null, text: '' },
      outcome: {
        state: 'failed',
        reason: 'http-error',
        status: 400,
        body: '{"a": 1,\n"b": 2}',
        retryAfterSeconds: null,
      },
    };
    expect(arrivalLine(record)).toBe('4,1,,,2,,,0,HTTP 400: { a : 1 b : 2}\n');
  });

  it('hold the times of tokens in hundredths of a millisecond', () => {
    const row = { batch: 2, stream: 1, promptTokens: 2001, tokenTimesMs: [12.34567, 20] };
    expect(decodeLine(row)).toBe('2,1,2001,12.35,20\n');
  });
});

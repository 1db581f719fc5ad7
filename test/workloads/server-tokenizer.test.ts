import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { BenchDataset, BenchServeOptions } from '../../workloads/bench/options.js';
import { openServerTokenizer } from '../../workloads/bench/server-tokenizer.js';
import { prepareBenchServe } from '../../workloads/bench-serve.js';
import { ServerAnswerError } from '../../workloads/server-answer.js';
import { type RawExchange, RawHttpServer } from '../fixtures/raw-http-server.js';

const { signal } = new AbortController();
const fixture = (name: string): string => new URL(`../fixtures/workloads/${name}`, import.meta.url).pathname;

const small: BenchServeOptions = { backend: 'openai', numPrompts: 6, randomOutputLen: 3, seed: 5 };

let server: RawHttpServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

describe('the tokenizer of the server', () => {
  /** /tokenize and /detokenize of vLLM over a tokenizer whose added tokens stand behind the vocabulary. */
  async function tokenizerServer(directory: string): Promise<RawHttpServer> {
    const { Tokenizer } = await import('@huggingface/tokenizers');
    const json = async (name: string) => JSON.parse(await readFile(`${directory}/${name}`, 'utf8'));
    const tokenizer = new Tokenizer(await json('tokenizer.json'), await json('tokenizer_config.json'));
    return RawHttpServer.start((exchange: RawExchange) => {
      const body = JSON.parse(exchange.request.body);
      const answer =
        exchange.request.path === '/tokenize'
          ? { tokens: tokenizer.encode(body.prompt, { add_special_tokens: body.add_special_tokens }).ids }
          : { prompt: tokenizer.decode(body.tokens.filter((id: number) => tokenizer.id_to_token(id) !== undefined)) };
      return exchange.answer(200, JSON.stringify(answer));
    });
  }

  const datasets: readonly BenchDataset[] = [
    { name: 'random' },
    { name: 'prefix_repetition', prefixLen: 9, suffixLen: 7, numPrefixes: 2, outputLen: 3 },
    { name: 'sharegpt', path: fixture('datasets/sharegpt.json') },
    { name: 'custom', path: fixture('datasets/custom.jsonl'), outputLen: -1, chatTemplate: false },
    { name: 'timed_trace', path: fixture('datasets/trace.jsonl') },
    { name: 'long-doc-qa', documentLength: 20, numDocuments: 2 },
  ];

  describe.each(['qwen-style-bpe', 'byte-level-bpe', 'unigram-with-bos', 'wordpiece'])('%s', (name) => {
    test.each(datasets)('makes the same prompts as its files: $name', async (dataset) => {
      const directory = fixture(`tokenizers/${name}`);
      server = await tokenizerServer(directory);
      const target = { baseUrl: server.baseUrl, model: 'nobody/has-this' };
      const options = { ...small, dataset, numPrompts: 4, randomInputLen: 60, hfHome: '/nonexistent', signal };
      const byServer = await prepareBenchServe(target, options);
      const byFiles = await prepareBenchServe(target, { ...options, tokenizerDirectory: directory });
      expect(byServer?.tokenizer).toBe('server');
      expect(byServer?.prompts).toEqual(byFiles?.prompts);
      expect(byServer?.arrivals).toEqual(byFiles?.arrivals);
      await expect.poll(() => server?.openConnections).toBe(0);
    });
  });

  test('finds the vocabulary, its special tokens and what is put around a prompt', async () => {
    server = await tokenizerServer(fixture('tokenizers/qwen-style-bpe'));
    const tokenizer = await openServerTokenizer({ baseUrl: server.baseUrl, model: 'm' }, signal);
    expect([tokenizer.vocabSize, tokenizer.addedTokens]).toEqual([1200, 0]);
    await tokenizer.close();
  });

  test('a server without one says so', async () => {
    server = await RawHttpServer.start((exchange) => exchange.answer(404, '{"detail":"Not Found"}'));
    const options = { backend: 'openai', numPrompts: 1, hfHome: '/nonexistent', signal } as const;
    await expect(prepareBenchServe({ baseUrl: server.baseUrl, model: 'm' }, options)).rejects.toThrow(
      ServerAnswerError,
    );
  });
});

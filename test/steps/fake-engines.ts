import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'vitest';
import { z } from 'zod';

/** A chunk of the fakes, in words: every word is a token. */
const chunk = 256;

const bodySchema = z.looseObject({
  model: z.string(),
  prompt: z.union([z.string(), z.array(z.string())]).optional(),
  messages: z.array(z.object({ content: z.union([z.string(), z.array(z.object({ text: z.string() }))]) })).optional(),
  max_tokens: z.number().optional(),
  max_completion_tokens: z.number().optional(),
  stream: z.boolean().optional(),
});

export interface EngineFaults {
  /** Finds nothing in the LMCache it stores to. */
  readonly missesAlways?: boolean;
  /** Whatever comes from the cache has another text. */
  readonly wrongTextFromCache?: boolean;
  /** Another text for these prompts, always: by a part of the prompt. */
  readonly oddAnswerTo?: string;
  /** HTTP status for every request from this number on (0 is the first), or only for so many. */
  readonly failFrom?: { readonly request: number; readonly status: number; readonly times?: number };
  /** The value of the hit counters in /metrics. */
  readonly hitsInMetrics?: string;
  readonly withoutReset?: boolean;
  /** Its own prefix cache holds nothing. */
  readonly withoutOwnCache?: boolean;
  readonly withoutMetrics?: boolean;
  readonly withoutUsage?: boolean;
  readonly servedModel?: string;
  readonly maxModelLen?: number;
}

/** An LMCache server: the chunks it holds, and its counters. */
export class FakeLmcache {
  readonly stored = new Set<string>();
  readonly counters = { lookup_requested_tokens: 0, lookup_hit_tokens: 0, l1_read_chunks: 0, l1_write_chunks: 0 };
  readonly #server = new LoopbackServer((request, response) => this.#answer(request, response));

  start(): Promise<void> {
    return this.#server.start();
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  get baseUrl(): string {
    return this.#server.baseUrl;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    // By the name that it has in older releases.
    if (request.method === 'POST' && request.url === '/clear-cache') {
      this.stored.clear();
      response.writeHead(200).end();
      return;
    }
    if (request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    const lines = Object.entries(this.counters).flatMap(([name, value]) =>
      value === 0 ? [] : [`lmcache_mp_${name}_total{model_name="m"} ${value}`],
    );
    response.writeHead(200, { 'content-type': 'text/plain' }).end(`${lines.join('\n')}\n`);
  }
}

/** vLLM, as far as the tests of this project look: deterministic answers, counters, an own prefix cache. */
export class FakeVllm {
  readonly faults: EngineFaults;
  readonly #lmcache: FakeLmcache | null;
  readonly #local = new Set<string>();
  readonly counters = { queries: 0, hits: 0, externalQueries: 0, externalHits: 0 };
  readonly prompts: string[] = [];
  readonly #server = new LoopbackServer((request, response, body) => this.#answer(request, response, body));

  constructor(lmcache: FakeLmcache | null, faults: EngineFaults = {}) {
    this.#lmcache = lmcache;
    this.faults = faults;
  }

  start(): Promise<void> {
    return this.#server.start();
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  get baseUrl(): string {
    return this.#server.baseUrl;
  }

  #answer(request: IncomingMessage, response: ServerResponse, body: string): void {
    const json = (status: number, value: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    switch (request.url) {
      case '/v1/models': {
        const id = this.faults.servedModel ?? 'Qwen/Qwen3-14B';
        json(200, {
          object: 'list',
          data: [{ id, object: 'model', max_model_len: this.faults.maxModelLen ?? 40_960 }],
        });
        break;
      }
      case '/version':
        json(200, { version: '0.0.0-fake' });
        break;
      case '/tokenize':
        json(200, {
          tokens: words(z.object({ prompt: z.string() }).parse(JSON.parse(body)).prompt).map((_, id) => id),
        });
        break;
      case '/reset_prefix_cache':
        if (this.faults.withoutReset) {
          json(404, { detail: 'Not Found' });
        } else {
          this.#local.clear();
          json(200, { success: true });
        }
        break;
      case '/metrics':
        this.#metrics(response);
        break;
      case '/v1/completions':
      case '/v1/chat/completions':
        this.#complete(request.url === '/v1/completions', response, bodySchema.parse(JSON.parse(body)));
        break;
      default:
        response.writeHead(404).end();
    }
  }

  #metrics(response: ServerResponse): void {
    const hits = this.faults.hitsInMetrics ?? String(this.counters.externalHits);
    const lines = this.faults.withoutMetrics
      ? []
      : [
          `vllm:prefix_cache_queries_total{engine="0"} ${this.counters.queries}`,
          `vllm:prefix_cache_hits_total{engine="0"} ${this.counters.hits}`,
          `vllm:external_prefix_cache_queries_total{engine="0"} ${this.counters.externalQueries}`,
          `vllm:external_prefix_cache_hits_total{engine="0"} ${hits}`,
        ];
    response.writeHead(200, { 'content-type': 'text/plain' }).end(`${lines.join('\n')}\n`);
  }

  #complete(isCompletion: boolean, response: ServerResponse, body: z.infer<typeof bodySchema>): void {
    const prompt = promptOf(body);
    this.prompts.push(prompt);
    const failFrom = this.faults.failFrom;
    const nth = this.prompts.length - 1 - (failFrom?.request ?? 0);
    if (failFrom !== undefined && nth >= 0 && nth < (failFrom.times ?? Number.POSITIVE_INFINITY)) {
      const error = { message: 'the fake was told to fail', type: 'Error', param: null, code: failFrom.status };
      response.writeHead(failFrom.status, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
      return;
    }
    const fromCache = this.#lookUp(prompt);
    const odd =
      (fromCache && this.faults.wrongTextFromCache) ||
      (this.faults.oddAnswerTo !== undefined && prompt.includes(this.faults.oddAnswerTo));
    const text = `${odd ? ' Wrong' : ' Right'} ${createHash('sha256').update(prompt).digest('hex').slice(0, 12)} #### 7`;
    const usage = { prompt_tokens: words(prompt).length, completion_tokens: 3, total_tokens: words(prompt).length + 3 };
    if (body.stream) {
      stream(isCompletion, response, text, this.faults.withoutUsage ? null : usage);
    } else {
      const choices = [{ index: 0, text, logprobs: null, finish_reason: 'stop' }];
      const answer = { id: 'cmpl-1', object: 'text_completion', created: 1, model: body.model, choices, usage };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    }
  }

  /** True: some of the prompt came from LMCache. */
  #lookUp(prompt: string): boolean {
    const tokens = words(prompt);
    const keys: string[] = [];
    for (let end = chunk; end < tokens.length; end += chunk) {
      keys.push(createHash('sha256').update(tokens.slice(0, end).join(' ')).digest('hex'));
    }
    this.counters.queries += tokens.length;
    const local = countPrefix(keys, this.#local);
    this.counters.hits += local * chunk;
    for (const key of this.faults.withoutOwnCache ? [] : keys) {
      this.#local.add(key);
    }
    if (this.#lmcache === null) {
      return false;
    }
    const { counters, stored } = this.#lmcache;
    const held = this.faults.missesAlways ? 0 : countPrefix(keys, stored);
    const loaded = Math.max(0, held - local);
    this.counters.externalQueries += tokens.length - local * chunk;
    this.counters.externalHits += loaded * chunk;
    counters.lookup_requested_tokens += keys.length * chunk;
    counters.lookup_hit_tokens += held * chunk;
    counters.l1_read_chunks += loaded;
    for (const key of keys) {
      if (!stored.has(key)) {
        stored.add(key);
        counters.l1_write_chunks += 1;
      }
    }
    return loaded > 0;
  }
}

function countPrefix(keys: readonly string[], held: ReadonlySet<string>): number {
  const missing = keys.findIndex((key) => !held.has(key));
  return missing === -1 ? keys.length : missing;
}

function promptOf({ prompt, messages }: z.infer<typeof bodySchema>): string {
  if (prompt !== undefined) {
    return typeof prompt === 'string' ? prompt : prompt.join('');
  }
  const content = messages?.[0]?.content ?? '';
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('');
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

function stream(isCompletion: boolean, response: ServerResponse, text: string, usage: unknown): void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  const id = { id: 'cmpl-1', created: 1, model: 'm' };
  const send = (choices: readonly unknown[], more: Record<string, unknown> = {}) =>
    response.write(`data: ${JSON.stringify({ ...id, choices, ...more })}\n\n`);
  if (isCompletion) {
    send([{ index: 0, text, finish_reason: 'stop' }]);
  } else {
    send([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }]);
    send([{ index: 0, delta: { content: text }, finish_reason: 'stop' }]);
  }
  if (usage !== null) {
    send([], { usage });
  }
  response.end('data: [DONE]\n\n');
}

/** An HTTP server on a free port of 127.0.0.1. */
class LoopbackServer {
  readonly #server: Server;

  constructor(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => answer(request, response, Buffer.concat(parts).toString('utf8')));
    });
  }

  get baseUrl(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${isAddress(address) ? address.port : 0}`;
  }

  start(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

function isAddress(address: string | AddressInfo | null): address is AddressInfo {
  return address !== null && typeof address !== 'string';
}

/** An LMCache server, a vLLM that uses it and one that does not; gone after the test. */
export async function startFakes(
  test: Pick<TestContext, 'onTestFinished'>,
  faults?: EngineFaults,
  baselineFaults?: EngineFaults,
): Promise<{ readonly lmcache: FakeLmcache; readonly vllm: FakeVllm; readonly baseline: FakeVllm }> {
  const lmcache = new FakeLmcache();
  const vllm = new FakeVllm(lmcache, faults);
  const baseline = new FakeVllm(null, baselineFaults);
  for (const server of [lmcache, vllm, baseline]) {
    await server.start();
    test.onTestFinished(() => server.stop());
  }
  return { lmcache, vllm, baseline };
}

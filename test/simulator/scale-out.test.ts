import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const json = z.record(z.string(), z.unknown());
/** What vLLM 0.26's own classes make of these bodies. */
const real = z
  .object({
    rendered: z.array(z.object({ kind: z.enum(['chat', 'completion']), body: json, rendered: json })),
    refused: z.array(z.object({ path: z.string(), body: z.unknown(), status: z.number(), answer: z.unknown() })),
    shapes: z.record(z.string(), json),
  })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/vllm-0.26/scale-out.json', import.meta.url), 'utf8')));

let server: ServedInProcess;
beforeAll(async () => {
  const tools = ['--enable-auto-tool-choice', '--tool-call-parser', 'hermes'];
  server = await serveInProcess(['--enable-prompt-tokens-details', '--enable-server-load-tracking', ...tools]);
});
afterAll(async () => {
  await server.stop();
});

async function post(path: string, body: unknown) {
  const response = await fetch(server.baseUrl + path, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  const text = await response.text();
  return { status: response.status, text, json: () => JSON.parse(text) };
}

const SHAPES: Readonly<Record<'generated' | 'derenderedChat' | 'derenderedCompletion', unknown>> = {
  generated: real.shapes.generated,
  derenderedChat: real.shapes.derenderedChat,
  derenderedCompletion: real.shapes.derenderedCompletion,
};
/** Its keys, all the way down, in their order. */
function keysOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [keysOf(value[0])];
  if (typeof value !== 'object' || value === null) return null;
  return Object.entries(value).map(([key, inner]) => [
    key,
    key === 'usage' || key === 'logprobs' ? null : keysOf(inner),
  ]);
}

const CHAT = { model: 'Qwen/Qwen3-14B', messages: [{ role: 'user', content: 'Who are you?' }], temperature: 0 };

describe('rendering', () => {
  const PATHS = { chat: '/v1/chat/completions/render', completion: '/v1/completions/render' };

  it.each(real.rendered)('$kind: $body', async ({ kind, body, rendered }) => {
    const answer = (await post(PATHS[kind], body)).json();
    const { request_id: id, token_ids: ids, ...rest } = kind === 'chat' ? answer : answer[0];
    expect(rest).toEqual(rendered);
    expect(Object.keys(rest.sampling_params)).toEqual(Object.keys(rendered.sampling_params ?? {}));
    expect(id).toMatch(kind === 'chat' ? /^chatcmpl-[0-9a-f]{32}$/ : /^cmpl-[0-9a-f]{32}$/);
    const told = kind === 'chat' ? { messages: body.messages } : { prompt: body.prompt };
    expect(ids).toEqual((await post('/tokenize', told)).json().tokens);
  });

  it('makes a request of each prompt, with as many tokens as have room where nobody says how many', async () => {
    const answers = (await post('/v1/completions/render', { prompt: ['a', 'b b'], max_tokens: 5 })).json();
    expect(answers).toHaveLength(2);
    const chat = (await post('/v1/chat/completions/render', CHAT)).json();
    expect(chat.sampling_params.max_tokens).toBe(40_960 - chat.token_ids.length);
  });

  it('refuses what the endpoints themselves refuse, and beams', async () => {
    expect(await post('/v1/chat/completions/render', { ...CHAT, model: 'other' })).toMatchObject({ status: 404 });
    expect((await post('/v1/completions/render', {})).json().error.param).toBe('prompt');
    expect((await post('/v1/chat/completions/render', { ...CHAT, use_beam_search: true })).json().error).toEqual({
      message: 'Beam search is not supported by the render endpoint',
      type: 'BadRequestError',
      param: null,
      code: 400,
    });
  });
});

describe('token ids in, token ids out, and back to text', () => {
  it('gives the answer that the chat itself gets', async () => {
    const direct = (await post('/v1/chat/completions', { ...CHAT, max_tokens: 20 })).json();
    const rendered = (await post('/v1/chat/completions/render', { ...CHAT, max_tokens: 20 })).json();
    const generated = (await post('/inference/v1/generate', rendered)).json();
    expect(keysOf(generated)).toEqual(keysOf(SHAPES.generated));
    expect(generated.request_id).toBe(`generate-tokens-${rendered.request_id}`);
    expect(generated.choices[0].token_ids).toHaveLength(20);
    expect(generated.usage).toEqual({
      prompt_tokens: rendered.token_ids.length,
      total_tokens: rendered.token_ids.length + 20,
      completion_tokens: 20,
      prompt_tokens_details: { cached_tokens: expect.any(Number), created_cache_tokens: null, multimodal_tokens: null },
    });
    const prompt_tokens = rendered.token_ids.length;
    const body = { model: CHAT.model, generate_response: generated, prompt_tokens };
    const derendered = (await post('/v1/chat/completions/derender', body)).json();
    expect(keysOf(derendered)).toEqual(keysOf(SHAPES.derenderedChat));
    expect(derendered.id).toBe(generated.request_id);
    expect(derendered.choices[0].message).toEqual(direct.choices[0].message);
    expect(derendered.choices[0].finish_reason).toBe('length');
    expect(derendered.usage).toEqual({ ...direct.usage, prompt_tokens_details: null });
    const completion = (
      await post('/v1/completions/derender', {
        model: CHAT.model,
        generate_responses: [generated, generated],
        prompt_tokens: [prompt_tokens, prompt_tokens],
      })
    ).json();
    expect(keysOf(completion)).toEqual(keysOf(SHAPES.derenderedCompletion));
    expect(completion.choices.map((choice: { text: string }) => choice.text)).toEqual(
      Array(2).fill(direct.choices[0].message.content),
    );
    expect(completion.usage.total_tokens).toBe(2 * direct.usage.total_tokens);
  });

  it('streams them, with odds by ids and usage where they are wanted', async () => {
    const sampling_params = { max_tokens: 3, temperature: 0, logprobs: 2, ignore_eos: true };
    const body = { token_ids: [1, 2, 3], sampling_params, stream: true, stream_options: { include_usage: true } };
    const events = (await post('/inference/v1/generate', { ...body, request_id: 'mine' })).text.trim().split('\n\n');
    expect(events.at(-1)).toBe('data: [DONE]');
    const parsed = events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)));
    expect(Object.keys(parsed[0])).toEqual(['request_id', 'choices', 'usage']);
    expect(parsed[0].request_id).toBe('generate-tokens-mine');
    expect(parsed.map(({ choices }) => choices[0]?.finish_reason)).toEqual([null, null, 'length', undefined]);
    const whole = (await post('/inference/v1/generate', { ...body, stream: false })).json();
    const ids = parsed.slice(0, 3).flatMap(({ choices }) => choices[0].token_ids);
    expect(whole.choices[0].token_ids).toEqual(ids);
    const content = parsed.slice(0, 3).flatMap(({ choices }) => choices[0].logprobs.content);
    expect(whole.choices[0].logprobs.content).toEqual(content);
    expect(content.map(({ token }) => token)).toEqual(ids.map((id) => `token_id:${id}`));
    expect(content[0]).toMatchObject({ bytes: null, logprob: content[0].top_logprobs[0].logprob });
    expect(content[0].top_logprobs).toHaveLength(2);
    expect(parsed[3].usage).toMatchObject({ prompt_tokens: 3, total_tokens: 6, completion_tokens: 3 });
    // Names of tokens are put back, in both forms.
    const chat = (await post('/v1/chat/completions/derender', { model: CHAT.model, generate_response: whole })).json();
    const named = chat.choices[0].logprobs.content;
    expect(named.map(({ token }: { token: string }) => token).join('')).toBe(chat.choices[0].message.content);
    const responses = { model: CHAT.model, generate_responses: [whole] };
    const completion = (await post('/v1/completions/derender', responses)).json();
    expect(completion.choices[0].logprobs.tokens).toEqual(named.map(({ token }: { token: string }) => token));
  });

  it('reads a tool call out of the tokens where the chat is told', async () => {
    const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }];
    const asked = { ...CHAT, tools };
    const rendered = (await post('/v1/chat/completions/render', asked)).json();
    // The simulated model decides by the whole chat: its tokens come from the endpoint that knows it.
    const direct = (await post('/v1/chat/completions', { ...asked, return_token_ids: true })).json();
    const [choice] = direct.choices;
    const generate_response = { choices: [{ index: 0, token_ids: choice.token_ids, finish_reason: 'stop' }] };
    const told = { model: CHAT.model, generate_response, chat_request: asked };
    const derendered = (await post('/v1/chat/completions/derender', told)).json();
    expect(rendered.token_ids).toHaveLength(direct.usage.prompt_tokens);
    expect(derendered.choices[0].message.tool_calls[0].function).toEqual(choice.message.tool_calls[0].function);
    const plain = (await post('/v1/chat/completions/derender', { ...told, chat_request: null })).json();
    expect(plain.choices[0].message.content).toContain('"name": "look"');
  });

  it('goes on to the end of the context where nobody says how far, and refuses what is longer', async () => {
    const long = Array(40_958).fill(5);
    const answer = (
      await post('/inference/v1/generate', { token_ids: long, sampling_params: { ignore_eos: true } })
    ).json();
    expect(answer.choices[0]).toMatchObject({
      finish_reason: 'length',
      token_ids: [expect.any(Number), expect.any(Number)],
    });
    const longer = { token_ids: [...long, 5, 5, 5], sampling_params: {} };
    expect((await post('/inference/v1/generate', longer)).json().error.message).toBe(
      "Input length (40961) exceeds model's maximum context length (40960).",
    );
    const many = { token_ids: [1], sampling_params: { n: 2000, temperature: 1 } };
    expect((await post('/inference/v1/generate', many)).json().error.message).toMatch(
      /^sampling_params\.n must be at most the server's max_num_seqs \(\d+\), got 2000\.$/,
    );
    const empty = { model: CHAT.model, generate_response: { choices: [{ index: 0, token_ids: [] }] } };
    expect((await post('/v1/chat/completions/derender', empty)).json().error).toMatchObject({
      message: 'choice 0 has empty or null token_ids',
      type: 'BadRequestError',
    });
  });
});

describe('POST /generative_scoring', () => {
  const body = { query: 'Is this good? ', items: ['yes', 'no', 'perhaps'], label_token_ids: [9, 10, 11] };

  it('scores each item by the share of the first label, the same every time', async () => {
    const answer = (await post('/generative_scoring', body)).json();
    expect(answer.error).toBeUndefined();
    expect(Object.keys(answer)).toEqual(['id', 'object', 'created', 'model', 'data', 'usage']);
    expect(answer.id).toMatch(/^generative-scoring-/);
    expect(answer.data.map(({ index, object }: { index: number; object: string }) => [index, object])).toEqual([
      [0, 'score'],
      [1, 'score'],
      [2, 'score'],
    ]);
    expect(answer.usage.completion_tokens).toBe(3);
    expect((await post('/generative_scoring', body)).json().data).toEqual(answer.data);
    const scoresFor = async (labels: readonly number[], softmax: boolean) => {
      const asked = { ...body, label_token_ids: labels, apply_softmax: softmax };
      const { data } = (await post('/generative_scoring', asked)).json();
      return data.map(({ score }: { score: number }) => score);
    };
    // Shares of the labels sum up to 1; probabilities of all tokens would.
    const shares = await Promise.all(
      body.label_token_ids.map((_, at, all) => scoresFor([...all.slice(at), ...all.slice(0, at)], true)),
    );
    for (const own of await scoresFor([9], true)) expect(own).toBe(1);
    for (const score of shares.flat()) expect(score).toBeGreaterThan(0);
    for (const score of await scoresFor(body.label_token_ids, false)) expect(score).toBeLessThan(1);
  });

  it('puts items first where it is told, and refuses what it cannot score', async () => {
    const first = (await post('/generative_scoring', { ...body, item_first: true })).json();
    expect(first.data).not.toEqual((await post('/generative_scoring', body)).json().data);
    for (const [change, message] of [
      [{ label_token_ids: [] }, 'label_token_ids must contain at least one token ID.'],
      [{ items: [] }, 'items must contain at least one item.'],
      [{ label_token_ids: [-1] }, /^label_token_id -1 is out of vocabulary range \[0, \d+\)\. Please provide/],
    ] as const) {
      expect((await post('/generative_scoring', { ...body, ...change })).json().error.message).toMatch(message);
    }
    expect((await post('/generative_scoring', '{"a"')).json().error.message).toBe(
      "Expecting ':' delimiter: line 1 column 5 (char 4)",
    );
  });
});

describe('bodies that the real classes refuse', () => {
  it.each(real.refused)('$path $body', async ({ path, body, status, answer }) => {
    const own = await post(path, body);
    expect(own.json()).toEqual(answer);
    expect(own.status).toBe(status);
  });
});

describe('the rest of a front end', () => {
  it('counts what works with --enable-server-load-tracking', async () => {
    const load = async () => (await fetch(`${server.baseUrl}/load`)).json();
    expect(await load()).toEqual({ server_load: 0 });
    const leaving = new AbortController();
    const bodies = [1, 2].map((seed) => ({ prompt: `${seed}`, max_tokens: 30_000, ignore_eos: true, stream: true }));
    await Promise.all(
      bodies.map((body) =>
        fetch(`${server.baseUrl}/v1/completions`, {
          method: 'POST',
          body: JSON.stringify(body),
          headers: { 'content-type': 'application/json' },
          signal: leaving.signal,
        }),
      ),
    );
    expect(await load()).toEqual({ server_load: 2 });
    leaving.abort();
    await expect.poll(load).toEqual({ server_load: 0 });
  });

  it('refuses more data-parallel ranks as an engine without them', async () => {
    const error = (message: string, code: number) => ({
      error: { message, type: code === 400 ? 'Bad Request' : 'Internal Server Error', param: null, code },
    });
    const path = '/scale_elastic_ep';
    expect((await post(path, {})).json()).toEqual(error('new_data_parallel_size is required', 400));
    const zero = error('new_data_parallel_size must be a positive integer', 400);
    expect((await post(path, { new_data_parallel_size: 0 })).json()).toEqual(zero);
    const timeout = { new_data_parallel_size: 1, drain_timeout: 'x' };
    expect((await post(path, timeout)).json()).toEqual(error('drain_timeout must be a positive integer', 400));
    expect((await post(path, { new_data_parallel_size: 2 })).json()).toEqual(error('Scale failed', 500));
    expect((await post(path, { new_data_parallel_size: 1 })).json()).toEqual({
      message: 'Scaled to 1 data parallel engines',
    });
    expect((await post(path, '{')).json()).toEqual(error('Invalid JSON format', 400));
  });

  it('has /abort_requests outside of development mode only with --tokens-only', async () => {
    expect(await post('/abort_requests', {})).toMatchObject({ status: 404 });
    const tokensOnly = await serveInProcess(['--tokens-only']);
    try {
      const abort = (body: object) =>
        fetch(`${tokensOnly.baseUrl}/abort_requests`, { method: 'POST', body: JSON.stringify(body) });
      expect(await (await abort({ request_ids: ['x'] })).text()).toBe('');
      expect(await (await abort({})).json()).toMatchObject({
        error: { message: "Missing 'request_ids' in request body", type: 'Bad Request' },
      });
    } finally {
      await tokensOnly.stop();
    }
  });
});

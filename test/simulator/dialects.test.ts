import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const caseSchema = z.object({
  name: z.string(),
  server: z.enum(['plain', 'parsing']),
  method: z.string(),
  path: z.string(),
  raw: z.string().optional(),
  contentType: z.string().optional(),
  request: z.record(z.string(), z.unknown()).optional(),
  simulated: z.record(z.string(), z.unknown()).optional(),
  otherMessage: z.boolean().optional(),
  answer: z.object({ status: z.number(), contentType: z.string().nullable(), body: z.string() }),
});
/** What vLLM 0.26's HTTP layer answers; how it was recorded stands in the file. */
const { cases } = z
  .object({ cases: z.array(caseSchema) })
  .parse(
    JSON.parse(gunzipSync(readFileSync(new URL('../fixtures/vllm-0.26/dialects.json.gz', import.meta.url))).toString()),
  );

/** Fields whose values depend on the text, the tokenizer or the clock: only that they are there is compared. */
const FREE = new Set([
  'text',
  'delta',
  'content',
  'arguments',
  'partial_json',
  'token',
  'logprob',
  'city',
  'n',
  'created',
  'created_at',
  'sequence_number',
  'max_output_tokens',
  'input_tokens',
  'output_tokens',
  'prompt_tokens',
  'total_tokens',
  'completion_tokens',
  'original_input_tokens',
  'cached_tokens',
  'created_cache_tokens',
  'cache_creation_input_tokens',
  'cache_read_input_tokens',
]);
/** Of the recorded fields: newer versions of the openai package have it, and the recorded server could not tell. */
const LEFT_OUT = new Set(['async', 'system_fingerprint']);
/** Lists with an entry a token. */
const PER_TOKEN = new Set(['logprobs', 'top_logprobs', 'token_ids', 'bytes']);

/** What two answers have to share. */
function shapeOf(value: unknown, field = ''): unknown {
  if (Array.isArray(value)) {
    const isPerToken = PER_TOKEN.has(field) || (field === 'content' && Object.hasOwn(value[0] ?? {}, 'logprob'));
    if (isPerToken) return value.length === 0 ? [] : [typeof value[0] === 'number' ? 0 : shapeOf(value[0])];
    return value.map((item) => shapeOf(item));
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([key]) => !LEFT_OUT.has(key));
    return entries.map(([key, item]) => [key, shapeOf(item, key)]);
  }
  if (value !== null && FREE.has(field)) return typeof value;
  return typeof value === 'string' ? value.replace(/[0-9a-f]{16}/, '#') : value;
}

/** Of a stream the events, of which equal neighbours are one; of an answer its fields, in their order; errors as they are. */
function answerShape(body: string): unknown {
  if (!/^(event|data): /.test(body)) {
    const value: unknown = JSON.parse(body);
    const isError = typeof value === 'object' && value !== null && 'error' in value;
    return isError ? value : shapeOf(value);
  }
  const events = body.split('\n\n').filter((event) => event !== '');
  const shapes = events.map((event) => {
    const [kind, data] = event.startsWith('event: ') ? event.split('\ndata: ') : ['', event.slice(6)];
    return JSON.stringify([kind, data === '[DONE]' ? data : shapeOf(JSON.parse(data ?? ''))]);
  });
  return shapes.filter((shape, index) => shape !== shapes[index - 1]);
}

const repeatSchema = z.object({ $repeat: z.string(), times: z.number() });

function spelledOut(_: string, value: unknown): unknown {
  const repeated = repeatSchema.safeParse(value);
  return repeated.success ? repeated.data.$repeat.repeat(repeated.data.times) : value;
}

function requestBody({ raw, request, simulated }: z.infer<typeof caseSchema>): string | undefined {
  if (request === undefined) return raw;
  return JSON.stringify({ ...request, ...simulated }, spelledOut);
}

const servers = new Map<'plain' | 'parsing', ServedInProcess>();
beforeAll(async () => {
  const flags = ['--enable-auto-tool-choice', '--tool-call-parser', 'hermes', '--enable-prompt-tokens-details'];
  servers.set('plain', await serveInProcess());
  servers.set('parsing', await serveInProcess(flags, { VLLM_ENABLE_RESPONSES_API_STORE: '1' }));
});
afterAll(() => Promise.all([...servers.values()].map((server) => server.stop())));

const baseUrl = (name: 'plain' | 'parsing'): string => servers.get(name)?.baseUrl ?? '';
const post = (name: 'plain' | 'parsing', path: string, body: unknown) =>
  fetch(baseUrl(name) + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

describe('answers have the recorded fields, in their order', () => {
  it.each(cases.map((one) => [one.name, one] as const))('%s', async (_, recorded) => {
    const body = requestBody(recorded);
    const response = await fetch(baseUrl(recorded.server) + recorded.path, {
      method: recorded.method,
      ...(body === undefined ? {} : { body }),
      headers: { 'content-type': recorded.contentType ?? 'application/json' },
    });
    const { answer } = recorded;
    const text = await response.text();
    expect([response.status, response.headers.get('content-type')], text).toEqual([answer.status, answer.contentType]);
    if (recorded.otherMessage) {
      const withoutMessage = (json: string): string => json.replace(/"message": ?"(?:[^"\\]|\\.)*"/, '');
      expect(JSON.parse(withoutMessage(text).replace('{,', '{'))).toEqual(
        JSON.parse(withoutMessage(answer.body).replace(/\{, ?/, '{')),
      );
    } else expect(answerShape(text)).toEqual(answerShape(answer.body));
  });
});

const responseSchema = z.looseObject({
  id: z.string(),
  status: z.string(),
  output: z.array(z.looseObject({ content: z.array(z.looseObject({ text: z.string() })) })),
  usage: z
    .looseObject({ input_tokens: z.number(), input_tokens_details: z.looseObject({ cached_tokens: z.number() }) })
    .nullable(),
});
const rawMessagesSchema = z.array(z.object({ message: z.string(), tokens: z.array(z.number()), type: z.string() }));
const rawSchema = z.looseObject({
  ...responseSchema.shape,
  usage: z.looseObject({ input_tokens: z.number(), output_tokens: z.number() }),
  input_messages: rawMessagesSchema,
  output_messages: rawMessagesSchema,
});
const respond = async (body: unknown) => {
  const response = await post('parsing', '/v1/responses', body);
  expect(response.status).toBe(200);
  return responseSchema.parse(await response.json());
};
const stored = async (id: string) =>
  responseSchema.parse(await (await fetch(`${baseUrl('parsing')}/v1/responses/${id}`)).json());
const eventsOf = (text: string) =>
  text
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => z.looseObject({ sequence_number: z.number() }).parse(JSON.parse(event.split('\ndata: ')[1] ?? '')));

describe('responses', () => {
  const brief = { max_output_tokens: 4, temperature: 0 };

  it('number their events, and say the same whether they are streamed or not', async () => {
    const body = { input: 'Say it', max_output_tokens: 12, temperature: 0 };
    const whole = await respond(body);
    const events = eventsOf(await (await post('parsing', '/v1/responses', { ...body, stream: true })).text());
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
    const said = events.flatMap(({ type, delta }) => (type === 'response.output_text.delta' ? [delta] : []));
    expect(said).toHaveLength(12);
    expect(said.join('')).toBe(whole.output[0]?.content[0]?.text);
    expect(events.at(-1)?.response).toMatchObject({ output: [{ content: [{ text: said.join('') }] }] });
  });

  it('continue a stored one without its instructions, and tell of cached tokens', async () => {
    const long = 'word '.repeat(100);
    const first = await respond({ ...brief, input: long, instructions: 'Answer in the words of a sailor.' });
    expect(await stored(first.id)).toEqual(first);
    const said = first.output[0]?.content[0]?.text ?? '';
    const spelled = [
      { role: 'user', content: long },
      { role: 'assistant', content: said },
      { role: 'user', content: 'And?' },
    ];
    const byHand = await respond({ ...brief, input: spelled });
    const next = await respond({ ...brief, input: 'And?', previous_response_id: first.id });
    expect(next.output[0]?.content).toEqual(byHand.output[0]?.content);
    expect(next.usage?.input_tokens).toBe(byHand.usage?.input_tokens);
    expect(next.usage?.input_tokens_details.cached_tokens).toBeGreaterThan(90);
  });

  it('tell of prompt and answer as tokens where they are asked to', async () => {
    const body = { ...brief, input: 'x', enable_response_messages: true };
    const answer = await (await post('parsing', '/v1/responses', body)).json();
    const { input_messages: prompt, output_messages: said, output, usage } = rawSchema.parse(answer);
    expect(said).toEqual([
      { message: output[0]?.content[0]?.text, tokens: expect.any(Array), type: 'raw_message_tokens' },
    ]);
    expect(said[0]?.tokens).toHaveLength(usage.output_tokens);
    expect(prompt).toEqual([{ message: '', tokens: expect.any(Array), type: 'raw_message_tokens' }]);
    expect(prompt[0]?.tokens).toHaveLength(usage.input_tokens);
    const refused = await post('parsing', '/v1/responses', { ...body, enable_response_messages: 'some' });
    expect(await refused.text()).toContain('"param":"body.enable_response_messages"');
  });

  it('are kept only where they are asked to be', async () => {
    const { id } = await respond({ ...brief, input: 'x', store: false });
    expect((await fetch(`${baseUrl('parsing')}/v1/responses/${id}`)).status).toBe(404);
    const unkept = await post('plain', '/v1/responses', { ...brief, input: 'x' });
    const { id: other } = responseSchema.parse(await unkept.json());
    expect((await fetch(`${baseUrl('plain')}/v1/responses/${other}`)).status).toBe(404);
  });

  it('run in the background until they are complete', async () => {
    const { id, status } = await respond({ ...brief, input: 'x', background: true });
    expect(status).toBe('queued');
    await expect.poll(async () => (await stored(id)).status).toBe('incomplete');
    const late = await fetch(`${baseUrl('parsing')}/v1/responses/${id}/cancel`, { method: 'POST' });
    expect([late.status, await late.json()]).toEqual([
      400,
      {
        error: {
          message: 'Cannot cancel a synchronous response.',
          type: 'invalid_request_error',
          param: 'response_id',
          code: 400,
        },
      },
    ]);
    const notStreamed = fetch(`${baseUrl('parsing')}/v1/responses/${id}?stream=true`).then((answer) => answer.text());
    await expect(notStreamed).rejects.toThrow();
  });

  it('can be cancelled in the background, which frees the engine', async () => {
    const { id } = await respond({ input: 'x', background: true, ignore_eos: true, max_output_tokens: 40_000 });
    const cancelled = await fetch(`${baseUrl('parsing')}/v1/responses/${id}/cancel`, { method: 'POST' });
    expect(responseSchema.parse(await cancelled.json()).status).toBe('cancelled');
    expect((await stored(id)).status).toBe('cancelled');
    await expect
      .poll(async () => /^vllm:num_requests_running\{.*\} (\d+)/m.exec(await metrics())?.[1], { timeout: 2000 })
      .toBe('0');
  });

  it('can be followed in the background from any event on', async () => {
    const live = await (
      await post('parsing', '/v1/responses', { ...brief, input: 'x', background: true, stream: true })
    ).text();
    const { response } = z
      .looseObject({ response: z.looseObject({ id: z.string() }) })
      .parse(JSON.parse(live.split('\n')[1]?.slice(6) ?? ''));
    const again = await fetch(`${baseUrl('parsing')}/v1/responses/${response.id}?stream=true&starting_after=5`);
    expect(eventsOf(await again.text())).toEqual(eventsOf(live).slice(6));
    for (const query of ['stream=x', 'starting_after=x']) {
      expect((await fetch(`${baseUrl('parsing')}/v1/responses/${response.id}?${query}`)).status).toBe(400);
    }
  });
});

const metrics = async (): Promise<string> => (await fetch(`${baseUrl('parsing')}/metrics`)).text();

describe('messages', () => {
  it('say what the chat says that they are, system prompt and results of tools included', async () => {
    const shared = { max_tokens: 8, temperature: 0 };
    const message = {
      ...shared,
      model: 'Qwen/Qwen3-14B',
      system: [
        { type: 'text', text: 'x-anthropic-billing-header: 1' },
        { type: 'text', text: 'Be brief.' },
      ],
      messages: [
        { role: 'user', content: 'Weather?' },
        { role: 'assistant', content: [{ type: 'tool_use', id: '1', name: 'f', input: { a: 1 } }] },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: '1', content: [{ type: 'text', text: 'rain' }] },
            { type: 'text', text: 'And now?' },
          ],
        },
      ],
    };
    const call = { id: '1', type: 'function', function: { name: 'f', arguments: '{"a": 1}' } };
    const chat = {
      ...shared,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Weather?' },
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: '1', content: 'rain' },
        { role: 'user', content: 'And now?' },
      ],
    };
    const said: unknown = await (await post('plain', '/v1/messages', message)).json();
    const chatted: unknown = await (await post('plain', '/v1/chat/completions', chat)).json();
    const { choices, usage } = z
      .looseObject({
        choices: z.array(z.looseObject({ message: z.looseObject({ content: z.string() }) })),
        usage: z.looseObject({ prompt_tokens: z.number() }),
      })
      .parse(chatted);
    expect(said).toMatchObject({
      content: [{ type: 'text', text: choices[0]?.message.content }],
      usage: { input_tokens: usage.prompt_tokens, output_tokens: 8 },
    });
    const { max_tokens: _, temperature: __, ...counted } = message;
    expect(await (await post('plain', '/v1/messages/count_tokens', counted)).json()).toMatchObject({
      input_tokens: usage.prompt_tokens,
    });
  });
});

describe('every dialect', () => {
  const bodies: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ['/v1/responses', { input: 'x', max_output_tokens: 6 }],
    ['/v1/messages', { model: 'Qwen/Qwen3-14B', messages: [{ role: 'user', content: 'x' }], max_tokens: 6 }],
    ['/v1/chat/completions/batch', { messages: [[{ role: 'user', content: 'x' }]], max_tokens: 6 }],
  ];

  it.each(bodies)('is counted, and simulated: %s', async (path, body) => {
    const counted = async (): Promise<readonly (string | undefined)[]> => {
      const text = await metrics();
      const requests = new RegExp(`^http_requests_total\\{handler="${path}",method="POST",status="2xx"\\} (\\d+)`, 'm');
      return [/^vllm:request_success_total\{.*"length".*\} (\d+)/m.exec(text)?.[1], requests.exec(text)?.[1]];
    };
    await post('parsing', path, body).then((response) => response.text());
    const before = await counted();
    const response = await post('parsing', path, body);
    await response.text();
    expect(response.headers.get('x-lmcache-ci-simulated')).toBe('h200');
    await expect.poll(counted).toEqual(before.map((count) => String(Number(count) + 1)));
  });

  it.each(bodies)('suffers from faults: %s', async (path, body) => {
    const control = (fault: string) => post('plain', '/sim/control', { fault });
    await control('half-json');
    const text = await (await post('plain', path, body)).text();
    expect(() => JSON.parse(text)).toThrow();
    await control('http-503');
    expect((await post('plain', path, body)).status).toBe(503);
    await control('');
    expect((await post('plain', path, body)).status).toBe(200);
  });
});

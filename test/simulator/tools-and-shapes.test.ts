import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const callSchema = z.object({
  id: z.string().regex(/^chatcmpl-tool-[0-9a-f]{16}$/),
  type: z.literal('function'),
  function: z.object({ name: z.string(), arguments: z.string() }),
});
const answerSchema = z.looseObject({
  choices: z.array(
    z.looseObject({
      message: z.looseObject({ content: z.string().nullable(), tool_calls: z.array(callSchema).optional() }),
      finish_reason: z.string(),
    }),
  ),
  usage: z.looseObject({ prompt_tokens: z.number(), completion_tokens: z.number() }),
});
const deltaSchema = z.looseObject({
  content: z.string().nullish(),
  tool_calls: z
    .array(
      z.looseObject({
        index: z.literal(0),
        id: z.string().optional(),
        function: z.object({ name: z.string().optional(), arguments: z.string().optional() }),
      }),
    )
    .optional(),
});
const chunkSchema = z.looseObject({
  choices: z.array(z.looseObject({ delta: deltaSchema, finish_reason: z.string().nullable() })),
});
const errorSchema = z.object({
  error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.number() }),
});

const PARAMETERS: Exclude<Parameters<typeof z.fromJSONSchema>[0], boolean> = {
  type: 'object',
  properties: { city: { type: 'string' }, unit: { enum: ['c', 'f'] }, days: { type: 'integer', minimum: 3 } },
  required: ['city', 'unit', 'days'],
};
const tool = (name: string) => ({ type: 'function', function: { name, description: 'd', parameters: PARAMETERS } });
const tools = [tool('get_weather'), tool('get_news')];
const named = { type: 'function', function: { name: 'get_news' } };
const messages = [{ role: 'user', content: 'How is it?' }];
const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } };
const parameters = z.fromJSONSchema(PARAMETERS);

let plain: ServedInProcess;
let parsing: ServedInProcess;
beforeAll(async () => {
  [plain, parsing] = await Promise.all([
    serveInProcess(),
    serveInProcess(['--enable-auto-tool-choice', '--tool-call-parser', 'hermes']),
  ]);
});
afterAll(() => Promise.all([plain.stop(), parsing.stop()]));

const post = (server: ServedInProcess, body: unknown, path = '/v1/chat/completions') =>
  fetch(server.baseUrl + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
const chat = async (body: Readonly<Record<string, unknown>>, server = parsing) => {
  const answer = answerSchema.parse(await (await post(server, { messages, temperature: 0, ...body })).json());
  const [choice] = answer.choices;
  if (choice === undefined) throw new Error('An answer without a choice.');
  return { ...choice, usage: answer.usage };
};
const stream = async (body: Readonly<Record<string, unknown>>) => {
  const text = await (await post(parsing, { messages, temperature: 0, stream: true, ...body })).text();
  const events = text.split('\n\n').filter((event) => event.startsWith('data: {'));
  return events.flatMap((event) => chunkSchema.parse(JSON.parse(event.slice(6))).choices);
};

describe('tools', () => {
  it.each([
    ['auto', { tools }, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'],
    ['required', { tools, tool_choice: 'required' }, 'tool_choice="required" requires --tool-call-parser to be set'],
    ['named', { tools, tool_choice: named }, 'tool_choice=function "get_news" requires --tool-call-parser to be set'],
  ])('are refused without a parser: %s', async (_, body, message) => {
    const response = await post(plain, { messages, ...body });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error: { message, type: 'BadRequestError', param: null, code: 400 } });
  });

  it('may be offered to any server with tool_choice "none"', async () => {
    expect((await chat({ tools, tool_choice: 'none', max_tokens: 3 }, plain)).message.tool_calls).toBeUndefined();
  });

  it.each([
    [{ tools: [] }, '`tools` must not be an empty array.', 'body'],
    [{ tool_choice: 'auto' }, 'When using `tool_choice`, `tools` must be set.', 'tool_choice'],
    [{ tools, tool_choice: 'any' }, 'Invalid value for `tool_choice`: any! Only named tools,', 'tool_choice'],
    [{ tools, tool_choice: {} }, 'Invalid value for `function`: `None` in `tool_choice`!', 'tool_choice.function'],
    [{ tools, tool_choice: { function: {} } }, 'Expected field `name` in `function`', 'tool_choice.function.name'],
    [
      { tools, tool_choice: { function: { name: '' } } },
      'Invalid `name` in `function`: ``',
      'tool_choice.function.name',
    ],
    [{ tools, tool_choice: { function: { name: 'x' } } }, 'does not match any of the specified `tools`', 'tool_choice'],
    [{ tools: [{ type: 'function', function: {} }] }, "'type': 'missing'", 'body.tools.0.function.name'],
  ])('are refused as vLLM refuses %j', async (body, message, param) => {
    const response = await post(parsing, { messages, ...body });
    const { error } = errorSchema.parse(await response.json());
    expect([response.status, error.param]).toEqual([400, param]);
    expect(error.message).toContain(message);
  });

  it.each([
    ['auto', 'get_weather', null, 'tool_calls'],
    ['required', 'get_weather', '', 'tool_calls'],
    [named, 'get_news', '', 'stop'],
  ])('are called with valid arguments: %j', async (choice, name, content, finish) => {
    const answer = await chat({ tools, tool_choice: choice });
    expect([answer.finish_reason, answer.message.content]).toEqual([finish, content]);
    const [call] = answer.message.tool_calls ?? [];
    expect(call?.function.name).toBe(name);
    const given: unknown = JSON.parse(call?.function.arguments ?? '');
    expect(parameters.safeParse(given).error).toBeUndefined();

    const choices = await stream({ tools, tool_choice: choice });
    const deltas = choices.flatMap(({ delta }) => delta.tool_calls ?? []);
    expect(deltas.map((delta) => delta.function.arguments ?? '').join('')).toBe(call?.function.arguments);
    expect(deltas.filter(({ id }) => id !== undefined)).toHaveLength(1);
    expect(deltas[0]).toEqual({
      id: expect.stringMatching(/^chatcmpl-tool-/),
      type: 'function',
      index: 0,
      function: { name },
    });
    expect(deltas.length).toBeGreaterThan(5);
    expect(choices.map(({ delta }) => delta.content ?? '').join('')).toBe('');
    expect(choices.at(-1)?.finish_reason).toBe(finish);
  });

  it('are called one after the other where they are demanded and results come as words of the user', async () => {
    const turn = [
      { role: 'assistant', content: 'Calling tools' },
      { role: 'user', content: 'Observation: sunny' },
    ];
    const called = async (conversation: readonly object[]) =>
      (await chat({ tools, tool_choice: 'required', messages: conversation })).message.tool_calls?.[0]?.function.name;
    expect(await called(messages)).toBe('get_weather');
    expect(await called([...messages, ...turn])).toBe('get_news');
    expect(await called([...messages, ...turn, ...turn])).toBe('get_weather');
  });

  it('are not called where the tokens end before the call', async () => {
    for (const choice of ['auto', 'required', named]) {
      const cut = await chat({ tools, tool_choice: choice, max_tokens: 12 });
      expect([cut.finish_reason, cut.message.content?.startsWith('<tool_call>\n{"name"')]).toEqual(['length', true]);
      expect(cut.usage.completion_tokens).toBe(12);
    }
  });

  it.each([
    ['auto', 'tool_calls'],
    ['required', 'tool_calls'],
    [named, 'length'],
  ])('are announced by a stream that is cut off after their name: %j', async (choice, finish) => {
    const choices = await stream({ tools, tool_choice: choice, max_tokens: 14 });
    expect(choices.flatMap(({ delta }) => delta.tool_calls ?? []).filter(({ id }) => id !== undefined)).toHaveLength(1);
    expect(choices.at(-1)?.finish_reason).toBe(finish);
  });

  it('stand in the prompt, and so do calls and results; after a result the answer is text', async () => {
    const bare = await chat({ max_tokens: 1 });
    const offered = await chat({ tools, max_tokens: 1 });
    expect(offered.usage.prompt_tokens).toBeGreaterThan(bare.usage.prompt_tokens + 100);
    const call = { id: '1', type: 'function', function: { name: 'get_news', arguments: '{"city": "x"}' } };
    const told = [
      ...messages,
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', tool_call_id: '1', content: 'rain' },
      { role: 'tool', tool_call_id: '2', content: 'wind' },
    ];
    const after = await chat({ tools, messages: told, max_tokens: 4 });
    expect(after.message.tool_calls).toBeUndefined();
    expect(after.usage.prompt_tokens).toBeGreaterThan(offered.usage.prompt_tokens + 20);
    const next = await chat({ tools, messages: told, tool_choice: 'required' });
    expect(next.message.tool_calls?.[0]?.function.name).toBe('get_weather');
  });

  it('need a parser that is named', async () => {
    await expect(serveInProcess(['--enable-auto-tool-choice'])).rejects.toThrow(
      '--enable-auto-tool-choice requires --tool-call-parser',
    );
  });
});

describe('the shape of an answer', () => {
  it('is that of the JSON schema, by each of its names', async () => {
    const byFormat = { response_format: { type: 'json_schema', json_schema: { name: 'w', schema: PARAMETERS } } };
    for (const wanted of [
      byFormat,
      { structured_outputs: { json: PARAMETERS } },
      { structured_outputs: { json: JSON.stringify(PARAMETERS) } },
      { ...byFormat, tools },
    ]) {
      const answer = await chat(wanted);
      expect(answer.finish_reason).toBe('stop');
      const given: unknown = JSON.parse(answer.message.content ?? '');
      expect(parameters.safeParse(given).error).toBeUndefined();
    }
    const other = await chat({ ...byFormat, messages: [{ role: 'user', content: 'And there?' }] });
    expect(other.message.content).not.toBe((await chat(byFormat)).message.content);
  });

  it('is any object, the one that the prompt describes, or one of the choices', async () => {
    const object = await chat({ response_format: { type: 'json_object' } });
    expect(z.looseObject({}).safeParse(JSON.parse(object.message.content ?? '')).success).toBe(true);
    const described = `Answer {"like": "this"} as {a JSON} of this schema: ${JSON.stringify(PARAMETERS)} {`;
    const format = { response_format: { type: 'json_object' } };
    const typed = await chat({ ...format, messages: [{ role: 'system', content: described }, ...messages] });
    expect(parameters.safeParse(JSON.parse(typed.message.content ?? '')).error).toBeUndefined();
    // Nothing but the prompt asks for it, as an instructed model would see.
    const fence = { role: 'user', content: 'Return the correct JSON response within a ```json codeblock.' };
    const free = (await chat({ messages: [{ role: 'system', content: described }, fence] })).message.content ?? '';
    const [, inside = ''] = /^```json\n(.*)\n```$/s.exec(free) ?? [];
    expect(parameters.safeParse(JSON.parse(inside)).error).toBeUndefined();
    expect((await chat({ messages: [fence], max_tokens: 9 })).message.content).not.toContain('`');
    const choices = ['ja', 'größer als 東京 🌧'];
    const seen = new Set<string | null>();
    for (const content of 'abcdefgh') {
      const body = { structured_outputs: { choice: choices }, messages: [{ role: 'user', content }] };
      const whole = (await chat(body)).message.content;
      const parts = await stream(body);
      expect(parts.map(({ delta }) => delta.content ?? '').join('')).toBe(whole);
      seen.add(whole);
    }
    expect([...seen].sort()).toEqual([...choices].sort());
  });

  it('holds for completions too, and leaves the counted tokens as they were asked for', async () => {
    const body = { prompt: 'x', structured_outputs: { choice: ['yes'] } };
    const answer: unknown = await (await post(plain, body, '/v1/completions')).json();
    expect(answer).toMatchObject({ choices: [{ text: 'yes', finish_reason: 'stop' }] });
    const forced: unknown = await (
      await post(plain, { ...body, ignore_eos: true, max_tokens: 30 }, '/v1/completions')
    ).json();
    expect(forced).toMatchObject({
      choices: [{ text: 'yes', finish_reason: 'length' }],
      usage: { completion_tokens: 30 },
    });
  });

  it.each([
    [{ response_format: { type: 'json_schema' } }, "the 'json_schema' field must be provided", 'response_format'],
    [{ structured_outputs: { json: {}, choice: ['a'] } }, 'You can only use one kind of constraints', null],
  ])('is refused as vLLM refuses %j', async (body, message, param) => {
    for (const [path, prompt] of [
      ['/v1/chat/completions', { messages }],
      ['/v1/completions', { prompt: 'x' }],
    ] as const) {
      const { error } = errorSchema.parse(await (await post(plain, { ...prompt, ...body }, path)).json());
      // Only a completion's check names the field here.
      const named = param ?? (path === '/v1/completions' ? 'structured_outputs' : 'body');
      expect([error.code, error.param]).toEqual([400, named]);
      expect(error.message).toContain(message);
    }
  });
});

describe('images', () => {
  it.each([image, { type: 'input_audio', input_audio: { data: 'AA', format: 'wav' } }])(
    'and other media are refused by a text model: %j',
    async (part) => {
      const response = await post(plain, {
        messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, part] }],
      });
      expect([response.status, errorSchema.parse(await response.json()).error]).toEqual([
        400,
        { message: 'Qwen/Qwen3-14B is not a multimodal model', type: 'BadRequestError', param: null, code: 400 },
      ]);
    },
  );
});

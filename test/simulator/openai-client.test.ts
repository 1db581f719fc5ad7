import OpenAI, { APIUserAbortError, AuthenticationError, BadRequestError, NotFoundError } from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const model = 'Qwen/Qwen3-14B';
const brief = { model, temperature: 0, max_tokens: 8 };
const messages = [{ role: 'user' as const, content: 'hello there' }];
const weather = z.object({ city: z.string(), unit: z.enum(['c', 'f']), days: z.array(z.number().int()) });
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
  additionalProperties: false,
};
const tool = { type: 'function' as const, function: { name: 'get_weather', parameters } };

let server: ServedInProcess;
let client: OpenAI;
beforeAll(async () => {
  const flags = ['--enable-auto-tool-choice', '--tool-call-parser', 'hermes', '--enable-prompt-tokens-details'];
  server = await serveInProcess([...flags, '--api-key', 'secret'], { VLLM_ENABLE_RESPONSES_API_STORE: '1' });
  client = new OpenAI({ baseURL: `${server.baseUrl}/v1`, apiKey: 'secret', maxRetries: 0 });
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

async function collected<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const part of stream) all.push(part);
  return all;
}

describe('the openai package', () => {
  it('lists the model', async () => {
    expect((await collected(client.models.list())).map(({ id }) => id)).toEqual([model]);
  });

  it('completes prompts, several at once, streamed or not, with logprobs and stop', async () => {
    const whole = await client.completions.create({ ...brief, prompt: ['a b', 'c d'], logprobs: 2 });
    expect(whole.choices.map(({ index, finish_reason }) => [index, finish_reason])).toEqual([
      [0, 'length'],
      [1, 'length'],
    ]);
    expect(whole.choices[0]?.logprobs?.tokens).toHaveLength(8);
    const chunks = await collected(await client.completions.create({ ...brief, prompt: 'a b', stream: true }));
    const text = chunks.map(({ choices }) => choices[0]?.text ?? '').join('');
    expect(text).toBe(whole.choices[0]?.text);
    const stop = text.trim().split(' ')[2] ?? '';
    const stopped = await client.completions.create({ ...brief, prompt: 'a b', stop: [stop] });
    expect(stopped.choices[0]).toMatchObject({ finish_reason: 'stop', text: text.slice(0, text.indexOf(stop)) });
  });

  it('chats, with several answers, logprobs and the usage at the end of a stream', async () => {
    const several = await client.chat.completions.create({ ...brief, temperature: 1, messages, n: 3 });
    expect(new Set(several.choices.map(({ message }) => message.content)).size).toBe(3);
    const whole = await client.chat.completions.create({ ...brief, messages, logprobs: true, top_logprobs: 2 });
    expect(whole.choices[0]?.logprobs?.content?.map((token) => token.top_logprobs.length)).toEqual(Array(8).fill(2));
    const usage = { include_usage: true };
    const chunks = await collected(
      await client.chat.completions.create({ ...brief, messages, stream: true, stream_options: usage }),
    );
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(
      whole.choices[0]?.message.content,
    );
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 8 } });
    expect(chunks.at(-1)?.usage?.prompt_tokens).toBe(whole.usage?.prompt_tokens);
  });

  it('parses what a schema shapes', async () => {
    const format = zodResponseFormat(weather, 'weather');
    const { choices } = await client.chat.completions.parse({ model, messages, response_format: format });
    expect(weather.safeParse(choices[0]?.message.parsed).error).toBeUndefined();
  });

  it('runs a loop of tools to its end, streamed or not', async () => {
    const given: unknown[] = [];
    const run = { ...tool, function: { ...tool.function, description: 'd', parse: JSON.parse, function: tell } };
    function tell(value: object): string {
      given.push(value);
      return 'rain';
    }
    const asked = { model, messages, tools: [run], temperature: 0 };
    for (const runner of [
      client.chat.completions.runTools(asked),
      client.chat.completions.runTools({ ...asked, stream: true }),
    ]) {
      expect(await runner.finalContent()).toMatch(/\w/);
      expect(runner.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant']);
    }
    expect(given).toHaveLength(2);
    expect(given[0]).toEqual({ city: expect.any(String), days: expect.any(Number) });
    expect(given[1]).toEqual(given[0]);
  });

  it('ends a request in the engine by aborting it', async () => {
    const abort = new AbortController();
    const stream = await client.chat.completions.create(
      { model, messages, stream: true, max_tokens: 40_000 },
      { signal: abort.signal },
    );
    const reading = (async () => {
      for await (const _ of stream) abort.abort();
    })();
    await reading.catch((error: unknown) => expect(error).toBeInstanceOf(APIUserAbortError));
    const running = async (): Promise<string | undefined> => {
      const text = await (await fetch(`${server.baseUrl}/metrics`)).text();
      return /^vllm:num_requests_running\{.*\} (\d+)/m.exec(text)?.[1];
    };
    await expect.poll(running, { timeout: 2000 }).toBe('0');
  });

  it('gets responses: text, schemas, tools, and from the store', async () => {
    const shared = { model, temperature: 0, input: 'hello there', max_output_tokens: 8 };
    const whole = await client.responses.create(shared);
    expect([whole.status, whole.incomplete_details?.reason]).toEqual(['incomplete', 'max_output_tokens']);
    expect((await client.responses.retrieve(whole.id)).output_text).toBe(whole.output_text);
    const next = await client.responses.create({ ...shared, previous_response_id: whole.id });
    expect(next.usage?.input_tokens).toBeGreaterThan((whole.usage?.input_tokens ?? 0) + 8);
    const stream = client.responses.stream(shared);
    const types = (await collected(stream)).map(({ type }) => type);
    expect(types.filter((type, index) => type !== types[index - 1])).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect((await stream.finalResponse()).output_text).toBe(whole.output_text);
    const text = { format: zodTextFormat(weather, 'weather') };
    const { output_parsed: parsed } = await client.responses.parse({ model, input: 'x', text });
    expect(weather.safeParse(parsed).error).toBeUndefined();
    const tools = [{ type: 'function' as const, name: 'get_weather', parameters, strict: true }];
    const { output } = await client.responses.create({ model, input: 'x', tools });
    expect(output).toMatchObject([{ type: 'function_call', name: 'get_weather', status: 'completed' }]);
    const { id } = await client.responses.create({ model, input: 'x', background: true, max_output_tokens: 40_000 });
    expect((await client.responses.cancel(id)).status).toBe('cancelled');
  });

  it('throws the errors that it throws of the real server', async () => {
    const wrong = { ...brief, messages, model: 'nobody/x' };
    await expect(client.chat.completions.create(wrong)).rejects.toThrow(NotFoundError);
    await expect(client.chat.completions.create({ ...brief, messages, max_tokens: -1 })).rejects.toThrow(
      BadRequestError,
    );
    await expect(client.responses.retrieve('resp_x')).rejects.toMatchObject({ status: 404, param: 'response_id' });
    // A server of a text model has no such route.
    await expect(client.embeddings.create({ model, input: 'x' })).rejects.toThrow(NotFoundError);
    const stranger = new OpenAI({ baseURL: `${server.baseUrl}/v1`, apiKey: 'wrong', maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toThrow(AuthenticationError);
  });
});

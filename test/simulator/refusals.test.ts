import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const caseSchema = z.object({
  path: z.string(),
  raw: z.string().optional(),
  request: z.record(z.string(), z.unknown()).optional(),
  headers: z.record(z.string(), z.string()).optional(),
  status: z.number(),
  body: z.string().optional(),
});
const repeatSchema = z.object({ $repeat: z.union([z.string(), z.array(z.number())]), times: z.number() });
const compressed = readFileSync(new URL('../fixtures/vllm-0.26/refusals.json.gz', import.meta.url));
const { cases } = z.object({ cases: z.array(caseSchema) }).parse(JSON.parse(gunzipSync(compressed).toString()));

/** Long texts and lists are kept as what they repeat. */
function spelledOut(value: unknown): unknown {
  const repeated = repeatSchema.safeParse(value).data;
  if (repeated !== undefined) {
    const { $repeat: part, times } = repeated;
    return typeof part === 'string' ? part.repeat(times) : Array.from({ length: times }, () => part).flat();
  }
  if (Array.isArray(value)) return value.map(spelledOut);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, spelledOut(item)]));
}

let server: ServedInProcess;
beforeAll(async () => {
  server = await serveInProcess();
});
afterAll(() => server.stop());

describe('what vLLM 0.26 refuses', () => {
  it('is refused with the same status, and almost all of it byte by byte', async () => {
    const answers = await Promise.all(
      cases.map(async ({ path, raw, request, headers, status, body }) => {
        const response = await fetch(server.baseUrl + path, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: raw ?? JSON.stringify(spelledOut(request)),
        });
        const text = await response.text();
        const isSame = response.status === status && (body === undefined || text === body);
        return isSame ? [] : [{ path, request: raw ?? request, headers, status, body, got: [response.status, text] }];
      }),
    );
    const wrong = answers.flat();
    expect(wrong).toEqual([]);
    expect(cases.filter(({ body }) => body !== undefined).length).toBe(374);
  });
});

describe('JSON that is no object', () => {
  const FIELDS_FIRST =
    '/tokenize /v1/completions /v1/chat/completions /v1/chat/completions/batch /v1/responses /v1/chat/completions/render /v1/completions/render';
  const CHECKED_FIRST =
    '/detokenize /v1/messages /v1/messages/count_tokens /v1/chat/completions/derender /v1/completions/derender /inference/v1/generate';
  const BODIES = [
    ['[1]', 'list', 'list indices must be integers or slices, not str'],
    ['"x"', 'str', "'str' object does not support item assignment"],
    ['3', 'int', "argument of type 'int' is not iterable"],
    ['1.5', 'float', "argument of type 'float' is not iterable"],
    ['true', 'bool', "argument of type 'bool' is not iterable"],
  ] as const;
  const ask = async (path: string, body: string, headers = {}) => {
    const request = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body };
    const response = await fetch(server.baseUrl + path, request);
    return { status: response.status, body: await response.text() };
  };
  const error = (status: number, message: string, type: string, param: string | null = null) => ({
    status,
    body: JSON.stringify({ error: { message, type, param, code: status } }),
  });

  it.each(FIELDS_FIRST.split(' '))('fails in Python at %s, where fields are looked at first', async (path) => {
    for (const [body, type] of BODIES) {
      const expected = error(500, `'${type}' object has no attribute 'get'`, 'InternalServerError');
      expect([body, await ask(path, body)]).toEqual([body, expected]);
    }
    expect((await ask(path, 'null')).body).toContain("'msg': 'Field required', 'input': None");
  });

  it.each(CHECKED_FIRST.split(' '))('is refused at %s, where pydantic looks first', async (path) => {
    for (const [body] of BODIES) {
      const answer = await ask(path, body);
      expect([body, answer.status]).toEqual([body, 400]);
      expect(answer.body).toContain('Input should be a valid dictionary or object to extract fields from');
    }
  });

  it('fails where /invocations writes the model into it', async () => {
    for (const [body, , message] of [...BODIES, ['null', '', "argument of type 'NoneType' is not iterable"] as const]) {
      expect([body, await ask('/invocations', body)]).toEqual([body, error(400, message, 'BadRequestError')]);
    }
    const noJson = 'JSON decode error: Expecting value: line 1 column 1 (char 0)';
    expect(await ask('/invocations', '')).toEqual(error(400, noJson, 'Bad Request'));
  });

  it('asks /invocations for the model that a header names, not the body', async () => {
    const body = JSON.stringify({ model: 'nope', prompt: 'hi', max_tokens: 1 });
    expect((await ask('/invocations', body)).status).toBe(200);
    const named = await ask('/invocations', body, { 'X-Amzn-SageMaker-Adapter-Identifier': 'mine' });
    expect(named).toEqual(error(404, 'The model `mine` does not exist.', 'NotFoundError', 'model'));
  });
});

/** The events of a stream but its end. */
const events = (text: string) =>
  text
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice('data: '.length)));

describe('streams with little asked options', () => {
  const stream = async (base: string, body: object) => {
    const response = await fetch(`${base}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'hi', max_tokens: 2, stream: true, ...body }),
    });
    return events(await response.text());
  };

  it('tell usage all the time only with usage at the end, or where the server was started so', async () => {
    const alone = await stream(server.baseUrl, { stream_options: { continuous_usage_stats: true } });
    expect(alone.filter((event) => 'usage' in event)).toEqual([]);
    const both = await stream(server.baseUrl, {
      stream_options: { continuous_usage_stats: true, include_usage: true },
    });
    expect(both.every((event) => 'usage' in event)).toBe(true);
    const forced = await serveInProcess(['--enable-force-include-usage']);
    try {
      expect((await stream(forced.baseUrl, {})).every((event) => 'usage' in event)).toBe(true);
    } finally {
      await forced.stop();
    }
  });

  it('tell the ids of a prompt that is echoed, and nothing but the ids where these are asked for', async () => {
    const [first, second] = await stream(server.baseUrl, { echo: true });
    expect(first.choices[0].text.startsWith('hi')).toBe(true);
    expect(first.choices[0].prompt_token_ids).toEqual(expect.arrayContaining([expect.any(Number)]));
    expect(second.choices[0].prompt_token_ids).toBeNull();
    const [ids] = await stream(server.baseUrl, { echo: true, return_token_ids: true });
    expect(ids.choices[0].text.startsWith('hi')).toBe(false);
  });
});

describe('truncate_prompt_tokens', () => {
  it('keeps the end of a prompt, or its beginning', async () => {
    const kept = async (body: object) => {
      const response = await fetch(`${server.baseUrl}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: [5, 6, 7, 8], max_tokens: 1, return_token_ids: true, ...body }),
      });
      return JSON.parse(await response.text()).choices[0].prompt_token_ids;
    };
    expect(await kept({ truncate_prompt_tokens: 2 })).toEqual([7, 8]);
    expect(await kept({ truncate_prompt_tokens: 2, truncation_side: 'right' })).toEqual([5, 6]);
    expect(await kept({ truncate_prompt_tokens: -1 })).toEqual([5, 6, 7, 8]);
  });
});

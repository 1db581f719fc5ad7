import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const choiceSchema = z.looseObject({
  index: z.number(),
  text: z.string().optional(),
  message: z.looseObject({ content: z.string() }).optional(),
  delta: z.looseObject({ content: z.string().optional() }).optional(),
  finish_reason: z.string().nullable(),
  stop_reason: z.string().nullish(),
  token_ids: z.array(z.number()).nullish(),
});
const answerSchema = z.looseObject({
  id: z.string(),
  choices: z.array(choiceSchema),
  usage: z
    .looseObject({
      prompt_tokens: z.number(),
      completion_tokens: z.number(),
      prompt_tokens_details: z.looseObject({ cached_tokens: z.number() }).nullish(),
    })
    .optional(),
});
const controlSchema = z.object({ profile: z.string(), speed: z.number(), fault: z.string() });

let server: ServedInProcess;
beforeAll(async () => {
  server = await serveInProcess(['--enable-prompt-tokens-details', '--num-gpu-blocks-override', '2600'], {
    VLLM_SERVER_DEV_MODE: '1',
  });
});
afterAll(() => server.stop());

const post = (path: string, body: unknown, headers: Record<string, string> = {}, base = server.baseUrl) =>
  fetch(base + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

const complete = async (body: Readonly<Record<string, unknown>>, base = server.baseUrl) =>
  answerSchema.parse(
    await (await post('/v1/completions', { model: 'Qwen/Qwen3-14B', temperature: 0, ...body }, {}, base)).json(),
  );

const textOf = (answer: z.infer<typeof answerSchema>): string => answer.choices[0]?.text ?? '';

async function metric(name: string, labels = ''): Promise<number> {
  const text = await (await fetch(`${server.baseUrl}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name}{`) && candidate.includes(labels));
  return Number(line?.split(' ').at(-1));
}

describe('the simulated server', () => {
  it('answers the same prompt with the same text, streamed or not, alone or in company', async () => {
    const alone = textOf(await complete({ prompt: 'once upon a time', max_tokens: 30 }));
    const [first, ...others] = await Promise.all(
      ['once upon a time', 'b', 'c', 'd'].map((prompt) => complete({ prompt, max_tokens: 30 })),
    );
    expect(first && textOf(first)).toBe(alone);
    expect(others.map(textOf)).not.toContain(alone);
    const stream = await (
      await post('/v1/completions', { prompt: 'once upon a time', max_tokens: 30, temperature: 0, stream: true })
    ).text();
    const events = stream.split('\n\n').filter((event) => event.startsWith('data: {'));
    expect(events).toHaveLength(30);
    expect(events.map((event) => textOf(answerSchema.parse(JSON.parse(event.slice(6))))).join('')).toBe(alone);
  });

  it('takes token ids, batches of texts and batches of ids', async () => {
    const batch = await complete({ prompt: ['hi', 'hi hi'], max_tokens: 2 });
    const ids = await Promise.all(
      ['hi', 'hi hi'].map(async (prompt) =>
        z.object({ tokens: z.array(z.number()) }).parse(await (await post('/tokenize', { prompt })).json()),
      ),
    );
    const byIds = await complete({ prompt: ids.map(({ tokens }) => tokens), max_tokens: 2, return_token_ids: true });
    expect(byIds.choices.map(({ text }) => text)).toEqual(batch.choices.map(({ text }) => text));
    expect(byIds.choices.map(({ index }) => index)).toEqual([0, 1]);
    expect(byIds.choices[0]?.token_ids).toHaveLength(2);
    expect(byIds.usage?.prompt_tokens).toBe(3);
    const single = await complete({ prompt: ids[1]?.tokens, max_tokens: 2 });
    expect(textOf(single)).toBe(batch.choices[1]?.text);
  });

  it('gives n different answers above temperature 0, and counts the prompt once', async () => {
    const answer = await complete({ prompt: 'hi there', max_tokens: 8, n: 3, temperature: 0.9, seed: 1 });
    expect(new Set(answer.choices.map(({ text }) => text)).size).toBe(3);
    expect(answer.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 24 });
  });

  it('ends at a stop string, which is not shown, streamed or not', async () => {
    const whole = textOf(await complete({ prompt: 'stop here', max_tokens: 20 }));
    const stop = whole.slice(14, 18);
    const expected = whole.slice(0, whole.indexOf(stop));
    const answer = await complete({ prompt: 'stop here', max_tokens: 20, stop: ['###', stop] });
    expect(answer.choices[0]).toMatchObject({ text: expected, finish_reason: 'stop', stop_reason: stop });
    expect(answer.usage?.completion_tokens).toBeLessThan(20);
    const stream = await (
      await post('/v1/completions', { prompt: 'stop here', max_tokens: 20, temperature: 0, stop, stream: true })
    ).text();
    const events = stream.split('\n\n').filter((event) => event.startsWith('data: {'));
    const parts = events.map((event) => answerSchema.parse(JSON.parse(event.slice(6))));
    expect(parts.map(textOf).join('')).toBe(expected);
    expect(parts.at(-1)?.choices[0]).toMatchObject({ finish_reason: 'stop', stop_reason: stop });
    const included = await complete({ prompt: 'stop here', max_tokens: 20, stop, include_stop_str_in_output: true });
    expect(textOf(included)).toBe(expected + stop);
  });

  it('ends by itself without a limit on a chat, unless EOS is ignored', async () => {
    const messages = [{ role: 'user', content: 'how long?' }];
    const free = answerSchema.parse(await (await post('/v1/chat/completions', { messages, temperature: 0 })).json());
    expect(free.choices[0]?.finish_reason).toBe('stop');
    const length = free.usage?.completion_tokens ?? 0;
    expect(length).toBeGreaterThan(100);
    const forced = await post('/v1/chat/completions', {
      messages,
      temperature: 0,
      ignore_eos: true,
      max_tokens: length + 5,
    });
    const answer = answerSchema.parse(await forced.json());
    expect(answer.choices[0]?.finish_reason).toBe('length');
    expect(answer.choices[0]?.message?.content.startsWith(free.choices[0]?.message?.content ?? '?')).toBe(true);
  });

  it('echoes the prompt, takes the id and the parts of a message it is given', async () => {
    expect(textOf(await complete({ prompt: 'hi hi', max_tokens: 1, echo: true }))).toMatch(/^hi hi /);
    const content = [{ type: 'text', text: 'Hello, who are you?' }];
    const body = { messages: [{ role: 'user', content }], max_completion_tokens: 1 };
    const answer = answerSchema.parse(
      await (await post('/v1/chat/completions', body, { 'x-request-id': 'bench-1' })).json(),
    );
    expect(answer.id).toBe('chatcmpl-bench-1');
    expect(answer.usage).toMatchObject({ prompt_tokens: 15, completion_tokens: 1 });
  });

  it('caches prompts in the GPU until they are reset, and says so', async () => {
    const prompt = new Array(400).fill('hi').join(' ');
    const cached = async () => (await complete({ prompt, max_tokens: 1 })).usage?.prompt_tokens_details?.cached_tokens;
    expect(await cached()).toBe(0);
    expect(await cached()).toBe(384);
    const hits = await metric('vllm:prefix_cache_hits_total');
    expect(hits).toBeGreaterThanOrEqual(384);
    expect(await (await post('/reset_prefix_cache', {})).json()).toEqual({ success: true });
    expect(await cached()).toBe(0);
  });

  it('ends a request whose client goes away, and frees its blocks', async () => {
    const aborts = await metric('vllm:request_success_total', '"abort"');
    const client = httpRequest(`${server.baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    client.end(JSON.stringify({ prompt: 'hi', max_tokens: 40_000, ignore_eos: true, stream: true }));
    const [response] = await once(client, 'response');
    await once(response, 'data');
    client.destroy();
    await expect
      .poll(async () => [
        await metric('vllm:request_success_total', '"abort"'),
        await metric('vllm:num_requests_running'),
        await metric('vllm:kv_cache_usage_perc'),
      ])
      .toEqual([aborts + 1, 0, 0]);
  });

  it('refuses a running reset with success false', async () => {
    const leaving = new AbortController();
    const busy = fetch(`${server.baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'hi', max_tokens: 38_000, ignore_eos: true }),
      signal: leaving.signal,
    });
    await expect.poll(() => metric('vllm:num_requests_running')).toBe(1);
    expect(await (await post('/reset_prefix_cache', {})).json()).toEqual({ success: false });
    leaving.abort();
    await expect(busy).rejects.toThrow();
    await expect.poll(async () => (await post('/reset_prefix_cache', {})).json()).toEqual({ success: true });
  });

  it.each([
    ['/v1/completions', { prompt: [1, 2, 999_999_999] }, 'Token id 999999999 is out of vocabulary'],
    ['/v1/completions', { prompt: 'hi', n: 0 }, 'n must be at least 1, got 0.'],
    ['/v1/completions', { prompt: 'hi', top_p: 2 }, 'top_p must be in (0, 1], got 2.0. (parameter=top_p, value=2.0)'],
    ['/v1/completions', { prompt: 'hi', stream: 'perhaps' }, "'type': 'bool_parsing'"],
    ['/v1/completions', { prompt: 'hi', max_tokens: 1.5 }, "'type': 'int_from_float'"],
    ['/v1/completions', { prompt: 'hi', temperature: [] }, "'type': 'float_type'"],
    ['/v1/chat/completions', { messages: 'hi' }, "'type': 'list_type'"],
    ['/v1/chat/completions', { messages: [{ content: 'hi' }] }, "'loc': ('body', 'messages', 0, 'role')"],
    ['/detokenize', { tokens: ['a'] }, "'type': 'int_parsing'"],
    ['/tokenize', {}, "2 validation errors:\n  {'type': 'missing'"],
    ['/sim/control', { speed: 0 }, 'SIM_SPEED is "0"'],
    ['/sim/control', { fault: 'crash' }, 'SIM_FAULT is "crash"'],
  ])('%s refuses %j', async (path, body, message) => {
    const response = await post(path, body);
    expect(response.status).toBe(400);
    const error = z.object({ error: z.object({ message: z.string() }) }).parse(await response.json());
    expect(error.error.message).toContain(message);
  });

  it('changes its own options by POST /sim/control, and says so in its headers', async () => {
    const asked = async (body: unknown) => controlSchema.parse(await (await post('/sim/control', body)).json());
    expect(await asked({ speed: 50, fault: 'wrong-text-from-cache' })).toEqual({
      profile: 'h200',
      speed: 50,
      fault: 'wrong-text-from-cache',
    });
    expect((await fetch(`${server.baseUrl}/health`)).headers.get('x-lmcache-ci-sim-speed')).toBe('50');
    expect(await asked({ speed: 200, fault: 'none' })).toEqual({ profile: 'h200', speed: 200, fault: 'none' });
  });
});

describe('starting the simulated server', () => {
  it('protects /v1 with an API key, and nothing else', async () => {
    const locked = await serveInProcess(['--api-key', 'secret']);
    try {
      expect((await fetch(`${locked.baseUrl}/health`)).status).toBe(200);
      const refused = await fetch(`${locked.baseUrl}/v1/models`);
      expect([refused.status, await refused.json()]).toEqual([401, { error: 'Unauthorized' }]);
      const admitted = await fetch(`${locked.baseUrl}/v1/models`, { headers: { authorization: 'Bearer secret' } });
      expect(admitted.status).toBe(200);
    } finally {
      await locked.stop();
    }
  });

  it('has the development routes only in development mode', async () => {
    const plain = await serveInProcess([], {});
    try {
      expect((await post('/reset_prefix_cache', {}, {}, plain.baseUrl)).status).toBe(404);
    } finally {
      await plain.stop();
    }
  });

  it('answers under its served names, with the shape of the model it knows', async () => {
    const named = await serveInProcess(['--served-model-name', 'Qwen/Qwen3-14B', 'alias', '--max-model-len', '8192']);
    try {
      const answer = await (
        await post('/v1/completions', { model: 'alias', prompt: 'hi', max_tokens: 1 }, {}, named.baseUrl)
      ).json();
      expect(answer).toMatchObject({ model: 'alias' });
      const models = await (await fetch(`${named.baseUrl}/v1/models`)).json();
      expect(models).toMatchObject({ data: [{ id: 'Qwen/Qwen3-14B', max_model_len: 8192 }, { id: 'alias' }] });
    } finally {
      await named.stop();
    }
  });

  it('dies of SIM_FAULT=crash-after=N with exit code 1 and a traceback', async () => {
    const fragile = await serveInProcess([], { SIM_FAULT: 'crash-after=1' });
    await complete({ prompt: 'hi', max_tokens: 1 }, fragile.baseUrl);
    const broken = post('/v1/completions', { prompt: 'hi', max_tokens: 100, stream: true }, {}, fragile.baseUrl);
    await expect(broken.then((response) => response.text())).rejects.toThrow();
    expect(await fragile.exited).toBe(1);
    expect(fragile.output()).toContain('Traceback (most recent call last):');
    expect(fragile.output()).toContain('EngineDeadError');
  });

  it.each([
    [
      ['--max-model-len', '50000'],
      "User-specified max_model_len (50000) is greater than the derived max_model_len (max_position_embeddings=40960.0 or model_max_length=None in model's config.json). To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1.",
    ],
    [['--num-gpu-blocks-override', '100'], 'more KV cache is needed'],
    [['--gpu-memory-utilization', '0.1'], 'gpu-memory-utilization'],
    [['--served-model-name', 'x', '--unknown-flag'], 'unrecognized arguments: --unknown-flag'],
  ])('does not start with %j', async (args, message) => {
    await expect(serveInProcess(args)).rejects.toThrow(message);
  });

  it.each<[string[], Record<string, string>]>([
    [['--hf-overrides', '{"rope_parameters":{"rope_type":"linear","factor":2}}'], {}],
    [['--max-model-len', '81920'], { VLLM_ALLOW_LONG_MAX_MODEL_LEN: '1' }],
  ])('serves a longer context with %j', async (args, environment) => {
    const long = await serveInProcess(args, environment);
    try {
      const { data } = z
        .object({ data: z.array(z.object({ max_model_len: z.number() })) })
        .parse(await (await fetch(`${long.baseUrl}/v1/models`)).json());
      expect(data[0]?.max_model_len).toBe(81_920);
    } finally {
      await long.stop();
    }
  });

  // As vLLM 0.26's HTTP layer: the default of who asks for no number, and the most for who asks for more.
  it('gives no more tokens than --override-generation-config allows', async () => {
    const brief = await serveInProcess(['--override-generation-config', '{"max_new_tokens": 10}']);
    try {
      const tokensOf = async (body: object) => {
        const answer = await complete({ prompt: 'hi', ignore_eos: true, ...body }, brief.baseUrl);
        return answer.usage?.completion_tokens;
      };
      expect(await Promise.all([{}, { max_tokens: 12 }, { max_tokens: 5 }].map(tokensOf))).toEqual([10, 10, 5]);
      const rendered = await post(
        '/v1/chat/completions/render',
        { messages: [{ role: 'user', content: 'hi' }] },
        {},
        brief.baseUrl,
      );
      expect(await rendered.json()).toMatchObject({ sampling_params: { max_tokens: 10 } });
    } finally {
      await brief.stop();
    }
  });

  it('says in its log that it is a simulation, with profile, kernels, KV pool and what it ignores', async () => {
    const noted = await serveInProcess(['--gpu-memory-utilization', '0.5', '--attention-backend', 'FLASH_ATTN'], {
      SIM_PROFILE: 'h200-batch-invariant',
      VLLM_BATCH_INVARIANT: '0',
    });
    await noted.stop();
    const output = noted.output();
    expect(output).toContain('SIMULATED vLLM 0.26.0: profile "h200-batch-invariant"');
    expect(output).toContain('batch-invariant kernels, whatever VLLM_BATCH_INVARIANT says');
    expect(output).toContain('GPU KV cache size: 266,144 tokens');
    expect(output).toContain('accepted, without effect here: --attention-backend');
    expect(output).toContain('INFO:     Application startup complete.');
    expect(output).toContain('INFO:     Application shutdown complete.');
  });
});

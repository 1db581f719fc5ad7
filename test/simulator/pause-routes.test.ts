import { afterEach, describe, expect, it } from 'vitest';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

let server: ServedInProcess;
const start = async (...args: string[]) => {
  server = await serveInProcess(args, { VLLM_SERVER_DEV_MODE: '1', SIM_SPEED: '50' });
};
afterEach(async () => {
  await server.stop();
});

async function post(path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) {
  const response = await fetch(server.baseUrl + path, {
    method: 'POST',
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    headers: { 'content-type': 'application/json', ...headers },
  });
  const text = await response.text();
  return { status: response.status, text, json: () => JSON.parse(text) };
}
const get = async (path: string) => (await fetch(server.baseUrl + path)).json();
const refusal = (message: string, type: string, code: number, param: string | null = null) => ({
  error: { message, type, param, code },
});

/** A stream that has begun, and the rest of it. */
async function stream(body: object) {
  const response = await fetch(`${server.baseUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-request-id': 'mine' },
    body: JSON.stringify({ prompt: 'Tell me a story.', temperature: 0, ignore_eos: true, stream: true, ...body }),
  });
  const reader = response.body?.getReader();
  if (reader === undefined) throw new Error('no body');
  const decoder = new TextDecoder();
  let text = decoder.decode((await reader.read()).value);
  return async (): Promise<string> => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += decoder.decode(part.value);
    return text;
  };
}

const textOf = (events: string): string =>
  [...events.matchAll(/"text":("(?:[^"\\]|\\.)*")/g)].map(([, json = '""']) => JSON.parse(json)).join('');

const LONG = { max_tokens: 200 };
/** Would take a minute at this speed. */
const ENDLESS = { max_tokens: 30_000 };

async function wholeText(): Promise<string> {
  const answer = await post('/v1/completions', {
    prompt: 'Tell me a story.',
    temperature: 0,
    ignore_eos: true,
    ...LONG,
  });
  return answer.json().choices[0].text;
}

async function metric(pattern: string): Promise<number> {
  const page = await (await fetch(`${server.baseUrl}/metrics`)).text();
  return Number(new RegExp(`^${pattern} (\\S+)$`, 'm').exec(page)?.[1] ?? Number.NaN);
}

describe('POST /pause', () => {
  it('keeps what runs: nothing comes until /resume, and then the same text', async () => {
    await start();
    const expected = await wholeText();
    const rest = await stream(LONG);
    expect(await post('/pause?mode=keep')).toMatchObject({ status: 200, text: '{"status":"paused"}' });
    expect(await get('/is_paused')).toEqual({ is_paused: true });
    expect(await get('/is_sleeping')).toEqual({ is_sleeping: true });
    // Its blocks were given back: clear_cache holds unless it is refused.
    expect(await metric('vllm:num_preemptions_total\\{[^}]*\\}')).toBe(1);
    expect(await metric('vllm:kv_cache_usage_perc\\{[^}]*\\}')).toBe(0);
    const generated = await metric('vllm:generation_tokens_total\\{[^}]*\\}');
    const other = post('/v1/completions', { prompt: 'x', max_tokens: 1 });
    await expect.poll(() => metric('vllm:num_requests_waiting\\{[^}]*\\}')).toBe(2);
    expect(await metric('vllm:generation_tokens_total\\{[^}]*\\}')).toBe(generated);
    expect(await post('/resume')).toMatchObject({ status: 200, text: '{"status":"resumed"}' });
    expect(await get('/is_paused')).toEqual({ is_paused: false });
    expect(textOf(await rest())).toBe(expected);
    expect((await other).status).toBe(200);
  });

  it('keeps their blocks too where the cache shall not be cleared', async () => {
    await start();
    const rest = await stream(LONG);
    await post('/pause?mode=keep&clear_cache=false');
    expect(await metric('vllm:num_preemptions_total\\{[^}]*\\}')).toBe(0);
    expect(await metric('vllm:kv_cache_usage_perc\\{[^}]*\\}')).toBeGreaterThan(0);
    await post('/resume');
    expect(await rest()).toContain('"finish_reason":"length"');
  });

  it('ends what runs and what waits with "abort", streamed or not, and forgets the prefix cache', async () => {
    await start('--max-num-seqs', '1');
    const rest = await stream({ ...ENDLESS, stream_options: { include_usage: true } });
    const waiting = post('/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }], stream: true });
    await expect.poll(() => metric('vllm:num_requests_waiting\\{[^}]*\\}')).toBe(1);
    await post('/pause');
    const events = (await rest()).trim().split('\n\n');
    expect(events.at(-3)).toMatch(/"text":"","logprobs":null,"finish_reason":"abort","stop_reason":null/);
    expect(events.at(-2)).toMatch(/"choices":\[\],"usage"/);
    expect(events.at(-1)).toBe('data: [DONE]');
    // It had not begun: a role, and no content.
    expect((await waiting).text.trim().split('\n\n')).toEqual([
      expect.stringContaining('"delta":{"role":"assistant","content":""}'),
      'data: [DONE]',
    ]);
    expect(await metric('vllm:request_success_total\\{[^}]*finished_reason="abort"[^}]*\\}')).toBe(2);
    expect(await post('/reset_prefix_cache')).toMatchObject({ text: '{"success":true}' });
  });

  it('waits for what runs, and answers then', async () => {
    await start();
    const rest = await stream(LONG);
    const order: string[] = [];
    await Promise.all([
      post('/pause?mode=wait').then(() => order.push('paused')),
      rest().then(() => order.push('text')),
    ]);
    expect(order).toEqual(['text', 'paused']);
    expect(await get('/is_paused')).toEqual({ is_paused: true });
  });

  it('refuses other modes in the words of a query that is checked', async () => {
    await start();
    const message =
      "1 validation error:\n  {'type': 'literal_error', 'loc': ('query', 'mode'), 'msg': \"Input should be 'abort', 'wait' or 'keep'\", 'input': 'stop', 'ctx': {'expected': \"'abort', 'wait' or 'keep'\"}}";
    expect((await post('/pause?mode=stop')).json()).toEqual(refusal(message, 'Bad Request', 400, 'query.mode'));
    expect((await post('/pause?clear_cache=maybe')).json()).toMatchObject({ error: { param: 'query.clear_cache' } });
    expect(await get('/is_paused')).toEqual({ is_paused: false });
  });
});

describe('POST /abort_requests', () => {
  it('ends the named ones and tells how many were named', async () => {
    await start();
    const rest = await stream(ENDLESS);
    expect((await post('/abort_requests', { request_ids: ['cmpl-other-0', 'cmpl-mine'] })).json()).toEqual({
      status: 'aborted',
      aborted: 2,
    });
    expect(await metric('vllm:num_requests_running\\{[^}]*\\}')).toBe(1);
    expect((await post('/abort_requests', { request_ids: ['cmpl-mine-0'] })).json()).toMatchObject({ aborted: 1 });
    expect(await rest()).toContain('"finish_reason":"abort"');
    expect(await get('/is_paused')).toEqual({ is_paused: false });
  });

  it('ends all without names: those of one prompt count one more than they are', async () => {
    await start();
    const body = { prompt: 'x', n: 2, temperature: 1, ignore_eos: true, ...ENDLESS };
    const answer = post('/v1/completions', body);
    await expect.poll(() => metric('vllm:num_requests_running\\{[^}]*\\}')).toBe(2);
    expect((await post('/abort_requests', {})).json()).toEqual({ status: 'aborted', aborted: 3 });
    expect((await answer).json().choices.map((choice: { finish_reason: string }) => choice.finish_reason)).toEqual([
      'abort',
      'abort',
    ]);
    expect((await post('/abort_requests')).json()).toEqual(refusal('Invalid JSON format', 'Bad Request', 400));
    expect((await post('/abort_requests', [])).json()).toEqual(
      refusal("'list' object has no attribute 'get'", 'InternalServerError', 500),
    );
  });
});

describe('POST /sleep and /wake_up', () => {
  const gauge = (state: string) => metric(`vllm:engine_sleep_state\\{[^}]*sleep_state="${state}"[^}]*\\}`);
  const memory = async () => (await post('/sim/control')).json().gpuMemoryUsedMiB;

  it('gives memory back, and takes requests that wait until all is awake', async () => {
    await start('--enable-sleep-mode');
    const whole = await memory();
    expect(await post('/sleep?level=1')).toMatchObject({ status: 200, text: '' });
    const asleep = await memory();
    // What is left is neither weights (27.5 GiB of them) nor KV cache.
    expect(asleep).toBeLessThan(10 * 1024);
    expect([await gauge('awake'), await gauge('weights_offloaded'), await gauge('discard_all')]).toEqual([0, 1, 0]);
    const answer = post('/v1/completions', { prompt: 'x', max_tokens: 1 });
    await expect.poll(() => metric('vllm:num_requests_waiting\\{[^}]*\\}')).toBe(1);
    await post('/wake_up?tags=weights');
    expect((await memory()) - asleep).toBeGreaterThan(27 * 1024);
    expect((await memory()) - asleep).toBeLessThan(29 * 1024);
    expect(await get('/is_sleeping')).toEqual({ is_sleeping: true });
    await post('/wake_up?tags=nothing');
    expect(await get('/is_sleeping')).toEqual({ is_sleeping: true });
    await post('/wake_up?tags=kv_cache');
    expect(await get('/is_sleeping')).toEqual({ is_sleeping: false });
    expect((await answer).status).toBe(200);
    expect(await memory()).toBe(whole);
    await post('/sleep?level=2');
    expect([await gauge('awake'), await gauge('weights_offloaded'), await gauge('discard_all')]).toEqual([0, 0, 1]);
    await post('/wake_up');
    expect(await gauge('awake')).toBe(1);
  });

  it('pauses without --enable-sleep-mode as well, but gives no memory back; level 0 pauses alone', async () => {
    await start();
    const whole = await memory();
    await post('/sleep');
    expect(await memory()).toBe(whole);
    await post('/wake_up');
    await post('/sleep?level=0&mode=keep');
    expect(await get('/is_sleeping')).toEqual({ is_sleeping: true });
    await post('/wake_up?tags=scheduling');
    expect(await get('/is_sleeping')).toEqual({ is_sleeping: false });
    expect((await post('/sleep?level=one')).json()).toEqual(
      refusal("invalid literal for int() with base 10: 'one'", 'BadRequestError', 400),
    );
    expect((await post('/sleep?mode=deep')).json()).toEqual(
      refusal('Call to sleep method failed: Invalid pause mode: deep', 'InternalServerError', 500),
    );
  });
});

describe('workers and their weights', () => {
  const reason = 'Weight transfer not configured. Please set weight_transfer_config to enable weight transfer.';

  it('fails as an engine without weight transfer', async () => {
    await start();
    for (const path of ['/start_weight_update', '/start_draft_weight_update', '/finish_weight_update']) {
      expect((await post(path)).json()).toEqual(
        refusal(`Call to collective_rpc method failed: ${reason}`, 'InternalServerError', 500),
      );
    }
    for (const [path, field] of [
      ['/init_weight_transfer_engine', 'init_info'],
      ['/update_weights', 'update_info'],
    ] as const) {
      const missing = refusal(`Missing '${field}' in request body`, 'Bad Request', 400);
      expect((await post(path, {})).json()).toEqual(missing);
      expect((await post(path, { [field]: {} })).status).toBe(500);
    }
    expect((await post('/collective_rpc', { method: 'no_such' })).json()).toEqual(
      refusal("Call to collective_rpc method failed: Method 'no_such' is not implemented.", 'InternalServerError', 500),
    );
    expect((await post('/collective_rpc', '{')).json()).toEqual(
      refusal(
        'JSON decode error: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)',
        'Bad Request',
        400,
      ),
    );
    expect((await post('/collective_rpc', {})).json()).toEqual(
      refusal("Missing 'method' in request body", 'Bad Request', 400),
    );
  });

  it('calls the methods of workers that need no model', async () => {
    await start('-tp', '2');
    const call = async (body: object) => (await post('/collective_rpc', body)).json();
    expect(await call({ method: 'check_health' })).toEqual({ results: [null, null] });
    expect(await call({ method: 'get_supported_tasks' })).toEqual({ results: [['generate'], ['generate']] });
    expect(await call({ method: 'get_encoder_timing_stats', args: [] })).toEqual({ results: [{}, {}] });
  });

  it.each([
    [{ method: 'check_health', args: ['x'] }, 'Worker.check_health() takes 1 positional argument but 2 were given'],
    [{ method: 'check_health', kwargs: { a: 'x' } }, "Worker.check_health() got an unexpected keyword argument 'a'"],
    [{ method: 'add_lora' }, "Worker.add_lora() missing 1 required positional argument: 'lora_request'"],
    [
      { method: 'profile', args: ['a', 'b', 'c'] },
      'Worker.profile() takes from 1 to 3 positional arguments but 4 were given',
    ],
    [{ method: 'list_loras' }, 'LoRA is not enabled. Use --enable-lora to enable LoRA.'],
    [{ method: 'start_weight_update' }, reason],
  ])('fails as a worker does: %j', async (body, message) => {
    await start();
    const { error } = (await post('/collective_rpc', body)).json();
    expect([error.code, error.message]).toEqual([500, `Call to collective_rpc method failed: ${message}`]);
  });

  it('tells which of several workers failed', async () => {
    await start('-tp', '2');
    expect((await post('/start_weight_update')).json().error.message).toBe(
      `Call to collective_rpc method failed: Worker failed with error '${reason}', please check the stack trace above for the root cause`,
    );
  });
});

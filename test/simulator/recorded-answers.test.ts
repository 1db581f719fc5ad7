import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const FIXTURES = new URL('../fixtures/vllm-0.26/', import.meta.url);
const recordingSchema = z.object({
  file: z.string(),
  method: z.string(),
  path: z.string(),
  request: z.unknown(),
  status: z.number(),
  headers: z.record(z.string(), z.string()),
});
type Recording = z.infer<typeof recordingSchema>;

const recordings = z.array(recordingSchema).parse(JSON.parse(readFileSync(new URL('index.json', FIXTURES), 'utf8')));
const recorded = (file: string): string => readFileSync(new URL(`raw/${file}`, FIXTURES), 'utf8');

/** Its answer ended at a stop string that depends on the text. */
const ENDS_BY_ITS_TEXT = 'lmcache-chat-stop.json';
/** The recorded server joined tokens into one event, as a busy one does. */
const JOINED_EVENTS = 'lmcache-completions-stream-3-n2-logprobs.sse';

/** Requests too long to stand in the index, made again. */
const LONG_REQUESTS: Readonly<Record<string, unknown>> = {
  'error-too-long-prompt.json': { model: 'Qwen/Qwen3-14B', prompt: new Array(41000).fill(283), max_tokens: 10 },
  'error-too-long-chat.json': {
    model: 'Qwen/Qwen3-14B',
    messages: [{ role: 'user', content: new Array(41000).fill('hi').join(' ') }],
    max_tokens: 10,
  },
  ...Object.fromEntries(
    ['lmcache-chat-stream-2-long.sse', 'lmcache-chat-stream-2-long-again.sse'].map((file) => [
      file,
      {
        model: 'Qwen/Qwen3-14B',
        messages: [{ role: 'user', content: new Array(3001).fill('hi').join(' ') }],
        max_tokens: 24,
        temperature: 0,
        stream: true,
        stream_options: { include_usage: true },
      },
    ]),
  ),
};

let server: ServedInProcess;

beforeAll(async () => {
  server = await serveInProcess(
    ['--gpu-memory-utilization', '0.5', '--no-async-scheduling', '--enable-prompt-tokens-details'],
    { VLLM_SERVER_DEV_MODE: '1' },
  );
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

async function replay({ file, method, path, request }: Recording): Promise<Response> {
  const wanted = LONG_REQUESTS[file] ?? request;
  const raw = typeof wanted === 'string' && wanted.startsWith('(raw) ') ? wanted.slice('(raw) '.length) : null;
  const body = wanted === null || wanted === undefined ? null : (raw ?? JSON.stringify(wanted));
  const contentType = file === 'error-wrong-content-type.json' ? 'text/plain' : 'application/json';
  return fetch(server.baseUrl + path, {
    method,
    ...(body === null ? {} : { body, headers: { 'content-type': contentType } }),
  });
}

const LOG_PROBABILITIES = new Set([
  'text_offset',
  'token_logprobs',
  'tokens',
  'top_logprobs',
  'prompt_logprobs',
  'bytes',
]);

/** Log probabilities: kinds and fields. How many there are hangs on which tokens were the likeliest. */
function kindOf(value: unknown): unknown {
  if (Array.isArray(value)) return unique(value.map(kindOf));
  if (typeof value !== 'object' || value === null) return value === null ? null : typeof value;
  const known = ['token', 'logprob', 'bytes', 'rank', 'decoded_token'];
  return unique(Object.entries(value).map(([name, item]) => [known.includes(name) ? name : '<token>', kindOf(item)]));
}

function unique(items: readonly unknown[]): unknown[] {
  return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()];
}

/** What differs from request to request, or comes from the model, is replaced by its kind. */
function normalise(value: unknown, key = ''): unknown {
  if (LOG_PROBABILITIES.has(key) || (key === 'content' && Array.isArray(value))) return kindOf(value);
  if (Array.isArray(value)) {
    return key === 'tokens' || key === 'token_ids' || key === 'prompt_token_ids'
      ? value.map((item) => typeof item)
      : value.map((item) => normalise(item, key));
  }
  if (typeof value === 'object' && value !== null) {
    // Arrays of pairs, so that the order of the fields counts too.
    return Object.entries(value).map(([name, item]) => [name, normalise(item, name)]);
  }
  if (typeof value === 'string') {
    if (key === 'id') return value.replace(/-[0-9a-f]{16}$/, '-<id>');
    if (key === 'content' || key === 'text' || key === 'prompt') return value === '' ? '' : '<text>';
    if (key === 'system_fingerprint') return value.replace(/[0-9a-f]{8}$/, '<hash>');
    if (key === 'root') return '<path>';
    if (key === 'token_strs') return '<token>';
  }
  return key === 'created' ? '<time>' : value;
}

function events(stream: string): unknown[] {
  return stream
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => {
      expect(event.startsWith('data: ')).toBe(true);
      const data = event.slice('data: '.length);
      return data === '[DONE]' ? data : normalise(JSON.parse(data));
    });
}

describe('answers compared with those of a real server, field by field', () => {
  it('compares all that was recorded', () => {
    expect(recordings).toHaveLength(47);
  });

  it.each(recordings.map((recording) => [recording.file, recording] as const))('%s', async (file, recording) => {
    const stop =
      file === ENDS_BY_ITS_TEXT ? { request: { ...requestOf(recording), stop: await someLetter(recording) } } : {};
    const response = await replay({ ...recording, ...stop });
    const text = await response.text();
    expect(response.status).toBe(recording.status);
    for (const [name, value] of Object.entries(recording.headers)) {
      const own = response.headers.get(name);
      if (name === 'Content-Length') expect(Number(own)).toBe(Buffer.byteLength(text));
      else expect(own).toBe(value);
    }
    expect(response.headers.get('x-lmcache-ci-simulated')).toBe('h200');
    expect(response.headers.get('x-lmcache-ci-sim-speed')).toBe('200');
    const wanted = recorded(file);
    if (file === JOINED_EVENTS) expect(unique(events(text))).toEqual(events(wanted));
    else if (file.endsWith('.sse')) expect(events(text)).toEqual(events(wanted));
    else if (file.startsWith('error-') || wanted === '') expect(text).toBe(wanted);
    else if (file === ENDS_BY_ITS_TEXT) expect(shortened(text)).toEqual(shortened(wanted));
    else expect(normalise(JSON.parse(text))).toEqual(normalise(JSON.parse(wanted)));
  });
});

const answerSchema = z.looseObject({
  choices: z.array(z.looseObject({ message: z.object({ content: z.string() }), stop_reason: z.string().nullable() })),
  usage: z.looseObject({ total_tokens: z.number(), completion_tokens: z.number() }),
});

function requestOf({ request }: Recording): Readonly<Record<string, unknown>> {
  return z.record(z.string(), z.unknown()).parse(request);
}

/** One that the answer to this request really holds. */
async function someLetter(recording: Recording): Promise<string> {
  const free = await replay({ ...recording, request: { ...requestOf(recording), stop: null } });
  const { choices } = answerSchema.parse(await free.json());
  return choices[0]?.message.content[3] ?? '';
}

/** Without what hangs on where the text ended. */
function shortened(body: string): unknown {
  const answer = answerSchema.parse(JSON.parse(body));
  expect(answer.choices[0]?.stop_reason).toHaveLength(1);
  const usage = { ...answer.usage, total_tokens: 0, completion_tokens: 0 };
  return normalise({ ...answer, usage, choices: answer.choices.map((choice) => ({ ...choice, stop_reason: '' })) });
}

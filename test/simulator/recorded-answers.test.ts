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

/** Recorded with log probabilities, which a simulator without a model does not have. */
const WITH_LOGPROBS = new Set([
  'lmcache-completions-echo-logprobs.json',
  'lmcache-completions-prompt-logprobs.json',
  'lmcache-completions-stream-3-n2-logprobs.sse',
  'lmcache-chat-stop.json',
]);

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

/** What differs from request to request, or comes from the model, is replaced by its kind. */
function normalise(value: unknown, key = ''): unknown {
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
  const comparable = recordings.filter(({ file }) => !WITH_LOGPROBS.has(file));

  it('compares what was recorded', () => {
    expect(comparable.length).toBeGreaterThanOrEqual(40);
  });

  it.each(comparable.map((recording) => [recording.file, recording] as const))('%s', async (file, recording) => {
    const response = await replay(recording);
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
    if (file.endsWith('.sse')) expect(events(text)).toEqual(events(wanted));
    else if (file.startsWith('error-') || wanted === '') expect(text).toBe(wanted);
    else expect(normalise(JSON.parse(text))).toEqual(normalise(JSON.parse(wanted)));
  });

  it('refuses log probabilities in words', async () => {
    for (const file of WITH_LOGPROBS) {
      const recording = recordings.find((candidate) => candidate.file === file);
      expect(recording).toBeDefined();
      if (recording === undefined) continue;
      const response = await replay(recording);
      expect(response.status).toBe(400);
      expect(await response.text()).toContain('log probabilities');
    }
  });
});

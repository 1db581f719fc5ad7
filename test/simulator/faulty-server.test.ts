import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

let server: ServedInProcess;
beforeAll(async () => {
  server = await serveInProcess();
});
afterAll(() => server.stop());

const control = async (fault: string): Promise<void> => {
  const response = await fetch(`${server.baseUrl}/sim/control`, { method: 'POST', body: JSON.stringify({ fault }) });
  expect(response.status).toBe(200);
};

async function ask(stream: boolean, signal?: AbortSignal): Promise<Response> {
  return fetch(`${server.baseUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'hi', max_tokens: 8, temperature: 0, stream }),
    ...(signal ? { signal } : {}),
  });
}

async function withFault(fault: string, test: () => Promise<void>): Promise<void> {
  await control(fault);
  try {
    await test();
  } finally {
    await control('none');
  }
  const sound = await ask(true);
  expect((await sound.text()).endsWith('data: [DONE]\n\n')).toBe(true);
}

describe('a server with faults', () => {
  it('garbage: status 200, and no JSON', () =>
    withFault('garbage', async () => {
      const whole = await ask(false);
      expect(whole.status).toBe(200);
      const text = await whole.text();
      expect(() => JSON.parse(text)).toThrow();
      expect(await (await ask(true)).text()).not.toContain('data: {');
    }));

  it('half-json: ends in the middle, whole or streamed', () =>
    withFault('half-json', async () => {
      const text = await (await ask(false)).text();
      expect(text.startsWith('{"id":')).toBe(true);
      expect(() => JSON.parse(text)).toThrow();
      const stream = await (await ask(true)).text();
      const events = stream.split('\n\n');
      expect(stream).not.toContain('[DONE]');
      expect(() => JSON.parse(events[0]?.slice('data: '.length) ?? '')).not.toThrow();
      expect(() => JSON.parse(events.at(-1)?.slice('data: '.length) ?? '')).toThrow();
    }));

  it('stream-cut: the connection breaks after some events, or in a whole body', () =>
    withFault('stream-cut', async () => {
      await expect(ask(true).then((response) => response.text())).rejects.toThrow();
      await expect(ask(false).then((response) => response.text())).rejects.toThrow();
    }));

  it('endless-stream: events follow until the client leaves, and then stop', () =>
    withFault('endless-stream', async () => {
      const leaving = new AbortController();
      const response = await ask(true, leaving.signal);
      let events = 0;
      const reading = (async () => {
        for await (const part of response.body ?? []) {
          events += new TextDecoder().decode(part).split('\n\n').length - 1;
          if (events > 20) leaving.abort();
        }
      })();
      await expect(reading).rejects.toThrow();
      expect(events).toBeGreaterThan(20);
    }));

  it('http-503 and health-503: answered so, in words', () =>
    withFault('http-503,health-503', async () => {
      const refused = await ask(false);
      expect(refused.status).toBe(503);
      expect(await refused.text()).toContain('overloaded');
      expect((await fetch(`${server.baseUrl}/health`)).status).toBe(503);
      expect((await fetch(`${server.baseUrl}/metrics`)).status).toBe(200);
    }));

  it('hang-after=N: the next request gets no token until the fault is over; health goes on', async () => {
    await control('hang-after=1');
    await (await ask(false)).text();
    const leaving = new AbortController();
    const hanging = ask(false, leaving.signal);
    const first = await Promise.race([hanging.then(() => 'answer'), once(AbortSignal.timeout(200), 'abort')]);
    expect(first).not.toBe('answer');
    expect((await fetch(`${server.baseUrl}/health`)).status).toBe(200);
    await control('none');
    expect((await hanging).status).toBe(200);
  });

  it('http-hang: not even health answers', () =>
    withFault('http-hang', async () => {
      await expect(fetch(`${server.baseUrl}/health`, { signal: AbortSignal.timeout(100) })).rejects.toThrow();
    }));
});

describe('a server that cannot start', () => {
  it.each([
    ['oom-at-start', 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate'],
    ['gpu-busy-at-start', 'is less than desired GPU memory utilization (0.5, 69.90 GiB)'],
  ])('%s says so as the real one does', async (fault, message) => {
    const start = serveInProcess(['--gpu-memory-utilization', '0.5'], { SIM_FAULT: fault });
    await expect(start).rejects.toThrow(message);
    await expect(start).rejects.toThrow('Engine core initialization failed');
  });

  it('slow-start takes so many seconds longer', async () => {
    const before = performance.now();
    const slow = await serveInProcess([], { SIM_FAULT: 'slow-start=0.4' });
    expect(performance.now() - before).toBeGreaterThan(400);
    await slow.stop();
  });

  it('leaves faults of other roles alone', async () => {
    const baseline = await serveInProcess([], { SIM_FAULT: 'vllm:oom-at-start' });
    expect(baseline.output()).toContain('fault none');
    await baseline.stop();
  });
});

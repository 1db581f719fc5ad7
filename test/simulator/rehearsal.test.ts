import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { performance } from 'node:perf_hooks';
import { describe, expect, it, onTestFinished } from 'vitest';
import { VLLM_SERVE_PARSER } from '../../simulator/vllm-args.js';
import { runVllmServe } from '../../simulator/vllm-serve.js';

/** Starts a server that stays until the test ends; counts the requests that this process serves meanwhile. Its "weights" take 25 ms. */
function start(slowStartSeconds: number) {
  let requests = 0;
  let output = '';
  const count = (): void => {
    requests += 1;
  };
  subscribe('http.server.request.start', count);
  const ending = new AbortController();
  const write = (text: string): void => {
    output += text;
  };
  let exited: Promise<number> = Promise.resolve(0);
  const ready = new Promise<number>((resolve) => {
    exited = runVllmServe(VLLM_SERVE_PARSER, ['Qwen/Qwen3-14B', '--host', '127.0.0.1', '--port', '0'], {
      environment: { SIM_SPEED: '200', SIM_FAULT: `slow-start=${slowStartSeconds}` },
      signal: ending.signal,
      write,
      writeError: write,
      onReady: resolve,
    });
  });
  onTestFinished(async () => {
    ending.abort();
    await exited;
    unsubscribe('http.server.request.start', count);
  });
  return { ready, ending, exited, requests: () => requests, output: () => output };
}

describe('the rehearsal of a start', () => {
  it('is over when the server is ready, and leaves nothing behind that a client could see', async () => {
    const server = start(2);
    const port = await server.ready;
    const rehearsed = server.requests();
    expect(rehearsed).toBeGreaterThan(0);
    expect(server.output()).not.toContain('POST');
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(metrics).toMatch(/^vllm:generation_tokens_total\{[^}]*\} 0$/m);
    expect(metrics).toMatch(/^vllm:num_requests_running\{[^}]*\} 0$/m);
    expect(metrics).not.toMatch(/^http_requests_total\{/m);
    expect(server.requests()).toBe(rehearsed + 1);
  });

  it('does not take place where the start leaves no time', async () => {
    const server = start(0);
    await server.ready;
    expect(server.requests()).toBe(0);
  });

  it('ends with a server that is ended while it starts', async () => {
    const server = start(60);
    const waiting = setInterval(() => {
      if (server.requests() > 0) server.ending.abort();
    }, 10);
    const abortedAt = new Promise<number>((resolve) => {
      server.ending.signal.addEventListener('abort', () => resolve(performance.now()));
    });
    expect(await server.exited).toBe(0);
    clearInterval(waiting);
    expect(performance.now() - (await abortedAt)).toBeLessThan(1000);
  });
});

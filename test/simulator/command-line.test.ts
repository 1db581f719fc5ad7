import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = `${ROOT}dist/simulator/main.js`;

interface Spawned {
  readonly process: ChildProcess;
  output(): string;
  /** Waits for a line; its first group. @throws with the output when the process ends before. */
  line(pattern: RegExp): Promise<string>;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
}

const started: Spawned[] = [];

function simulate(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Spawned {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', SIM_SPEED: '200', ...environment },
  });
  let output = '';
  const listeners = new Set<() => void>();
  const add = (chunk: Buffer): void => {
    output += chunk.toString();
    for (const listener of listeners) listener();
  };
  child.stdout.on('data', add);
  child.stderr.on('data', add);
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  const spawned: Spawned = {
    process: child,
    output: () => output,
    ended,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(output);
          if (match) resolve(match[1] ?? match[0]);
        };
        listeners.add(look);
        void ended.then(() => reject(new Error(`ended before ${pattern}:\n${output}`)));
        look();
      }),
  };
  started.push(spawned);
  return spawned;
}

const READY = /Starting vLLM server on http:\/\/127\.0\.0\.1:(\d+)/;
const SERVE = ['vllm', 'serve', 'Qwen/Qwen3-14B', '--host', '127.0.0.1', '--port', '0'];

beforeAll(() => {
  // The real command line is the compiled one.
  execFileSync(process.execPath, [`${ROOT}node_modules/typescript/bin/tsc`, '-p', `${ROOT}tsconfig.json`], {
    stdio: 'ignore',
    cwd: ROOT,
  });
  expect(existsSync(MAIN)).toBe(true);
});

afterEach(async () => {
  for (const spawned of started.splice(0)) {
    spawned.process.kill('SIGKILL');
    await spawned.ended;
  }
});

describe('lmcache-ci simulate', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('serves until %s, then ends at once with exit code 0', async (signal) => {
    const server = simulate(SERVE);
    const port = await server.line(READY);
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    const stream = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'hi', max_tokens: 40_000, ignore_eos: true, stream: true }),
    });
    const reader = stream.body?.getReader();
    await reader?.read();
    const before = Date.now();
    server.process.kill(signal);
    expect(await server.ended).toEqual({ code: 0, signal: null });
    expect(Date.now() - before).toBeLessThan(5000);
    await reader?.cancel().catch(() => undefined);
  });

  it('refuses connections until it is ready', async () => {
    const free = await freePort();
    const server = simulate(['vllm', 'serve', 'Qwen/Qwen3-14B', '--host', '127.0.0.1', '--port', String(free)], {
      SIM_SPEED: '10',
    });
    await server.line(/GPU KV cache size/);
    await expect(fetch(`http://127.0.0.1:${free}/health`)).rejects.toThrow();
    await server.line(READY);
    expect((await fetch(`http://127.0.0.1:${free}/health`)).status).toBe(200);
  });

  it('ends with 1 when its port is taken, naming it', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    try {
      const address = holder.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const server = simulate(['vllm', 'serve', 'Qwen/Qwen3-14B', '--host', '127.0.0.1', '--port', String(port)]);
      expect((await server.ended).code).toBe(1);
      expect(server.output()).toContain(
        `[Errno 98] error while attempting to bind on address ('127.0.0.1', ${port}): [Errno 98] address already in use`,
      );
    } finally {
      holder.close();
    }
  });

  it.each([
    [[...SERVE, '--no-such-flag'], {}, 'vllm: error: unrecognized arguments: --no-such-flag'],
    [['python3', '-m', 'vllm.entrypoints.openai.api_server', 'm', 'n'], {}, 'unrecognized arguments: n'],
    [SERVE, { SIM_SPEED: 'fast' }, 'SIM_SPEED is "fast"'],
    [SERVE, { SIM_FAULT: 'fire' }, 'SIM_FAULT is "fire"'],
    [SERVE, { SIM_PROFILE: 'h300' }, 'unknown profile "h300"'],
    [['ollama', 'serve'], {}, 'usage: lmcache-ci simulate vllm serve'],
    [['python3', '-m', 'http.server'], {}, 'usage: lmcache-ci simulate vllm serve'],
    [[], {}, 'usage: lmcache-ci simulate vllm serve'],
  ])('%j with %j ends with 2', async (args, environment, message) => {
    const server = simulate(args, environment);
    expect((await server.ended).code).toBe(2);
    expect(server.output()).toContain(message);
  });

  it('ends with 1 for a model it has no shape of', async () => {
    const server = simulate(['vllm', 'serve', 'nobody/nothing', '--port', '0']);
    expect((await server.ended).code).toBe(1);
    expect(server.output()).toContain('Traceback (most recent call last):');
    expect(server.output()).toContain('nobody/nothing');
  });

  it('is also the module of vLLM that old launch lines start', async () => {
    const server = simulate([
      '/opt/venv/bin/python3',
      '-m',
      'vllm.entrypoints.openai.api_server',
      '--model=Qwen/Qwen3-8B',
      '--host=127.0.0.1',
      '--port=0',
    ]);
    const port = await server.line(READY);
    const models = await (await fetch(`http://127.0.0.1:${port}/v1/models`)).json();
    expect(models).toMatchObject({ data: [{ id: 'Qwen/Qwen3-8B' }] });
  });

  it('ends with 1 and a traceback when the engine dies in the middle', async () => {
    const server = simulate(SERVE, { SIM_FAULT: 'crash-after=0' });
    const port = await server.line(READY);
    const request = fetch(`http://127.0.0.1:${port}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'hi' }),
    });
    await expect(request).rejects.toThrow();
    expect((await server.ended).code).toBe(1);
    expect(server.output()).toContain('EngineDeadError');
  });

  it('does not spin while it has nothing to do', async () => {
    const server = simulate(SERVE);
    await server.line(/Application startup complete/);
    const { pid } = server.process;
    const cpuSeconds = (): number => {
      const stat = execFileSync('cat', [`/proc/${pid}/stat`])
        .toString()
        .split(' ');
      return (Number(stat[13]) + Number(stat[14])) / 100;
    };
    const before = cpuSeconds();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(cpuSeconds() - before).toBeLessThan(0.1);
  });
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  probe.close();
  await once(probe, 'close');
  return port;
}

import { expect, test } from 'vitest';
import { benchVerdict } from '../../pipeline/commands/bench-verdict.js';
import { runBenchServe } from '../../workloads/bench-serve.js';
import { startFakeOpenAi } from '../fixtures/fake-openai.js';

const tokenizerDirectory = new URL('../fixtures/workloads/tokenizers/qwen-style-bpe', import.meta.url).pathname;

async function measured(failing: (request: number) => boolean = () => false) {
  const server = await startFakeOpenAi({
    intercept: async (exchange, request) => {
      if (failing(request)) await exchange.answer(503, 'busy');
      return failing(request);
    },
  });
  try {
    return await runBenchServe(
      { baseUrl: server.baseUrl, model: 'm' },
      {
        backend: 'openai',
        numPrompts: 3,
        randomInputLen: 8,
        randomOutputLen: 2,
        maxConcurrency: 1,
        tokenizerDirectory,
        signal: new AbortController().signal,
      },
    );
  } finally {
    await server.close();
  }
}

test('all answered in time: 0', async () => {
  const result = await measured();
  const clientHealth = { ...result.clientHealth, overloaded: false, remedy: null };
  expect(benchVerdict({ ...result, clientHealth }, null).exitCode).toBe(0);
});

test('a client that did not keep up gives no verdict, and says the remedy', async () => {
  const result = await measured();
  const clientHealth = { ...result.clientHealth, overloaded: true, remedy: 'send fewer at once' };
  const verdict = benchVerdict({ ...result, clientHealth }, null);
  expect(verdict.exitCode).toBe(3);
  expect(verdict.lines.join('\n')).toContain('INVALID: send fewer at once');
});

test('some failed: 1, none succeeded: 3, interrupted: as the shell expects', async () => {
  const some = await measured((request) => request === 1);
  expect(benchVerdict(some, null)).toMatchObject({ exitCode: 1 });
  expect(benchVerdict(some, null).lines.join('\n')).toContain('1 of 3 requests failed; the first: HTTP 503: busy');
  expect(benchVerdict(await measured(() => true), null).exitCode).toBe(3);
  expect(benchVerdict(some, 'SIGTERM').exitCode).toBe(143);
});

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RequestLog } from '../../pipeline/commands/bench-request-log.js';
import { runBenchServe } from '../../workloads/bench-serve.js';
import { startFakeOpenAi } from '../fixtures/fake-openai.js';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-request-log-'));
});
afterEach(() => rm(directory, { recursive: true }));

test('every request has its line, with the text that the result does not keep', async () => {
  const server = await startFakeOpenAi({
    intercept: async (exchange, request) => {
      if (request === 2) {
        await exchange.answer(429, 'slow down');
      }
      return request === 2;
    },
  });
  const file = path.join(directory, 'requests.jsonl');
  const log = await RequestLog.create(file);
  try {
    const result = await runBenchServe(
      { baseUrl: server.baseUrl, model: 'm' },
      {
        backend: 'openai',
        numPrompts: 300,
        maxConcurrency: 20,
        randomInputLen: 8,
        randomOutputLen: 3,
        tokenizerDirectory: new URL('../fixtures/workloads/tokenizers/qwen-style-bpe', import.meta.url).pathname,
        keepTexts: false,
        onRecord: (record) => log.add(record),
        signal: new AbortController().signal,
      },
    );
    await log.close();
    const { records } = result;
    const lines = (await readFile(file, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ index }) => index).sort((a, b) => a - b)).toEqual(records.map(({ index }) => index));
    const failed = lines.filter(({ outcome }) => outcome.state === 'failed');
    expect(failed).toMatchObject([{ status: 429, outcome: { reason: 'http-error' } }]);
    for (const line of lines.filter(({ outcome }) => outcome.state === 'ok')) {
      const record = records[line.index];
      expect(line).toMatchObject({ text: 't0 t1 t2 ', sentAt: record?.sentAt, endedAt: record?.endedAt });
      expect(line.tokenTimes).toEqual([...(record?.tokenTimes ?? [])]);
      expect(record?.text).toBe('');
    }
  } finally {
    await server.close();
  }
});

test('a file that cannot be written is refused before anything is sent', async () => {
  await expect(RequestLog.create(path.join(directory, 'not', 'there'))).rejects.toThrow('--request-log');
});

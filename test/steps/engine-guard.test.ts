import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { StepResult } from '../../results-schema/step-result.js';
import { judgeWithEngines } from '../../steps/engine-guard.js';
import { fakeContext, settingsFor } from './fake-context.js';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** A server that answers its health check, or takes the request and is silent. */
async function serve(answers: boolean): Promise<string> {
  const server = createServer((_, response) => {
    if (answers) response.end('ok');
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}

async function judged(result: StepResult, lmcacheAnswers: boolean): Promise<StepResult> {
  const urls = { vllm: await serve(true), lmcache: await serve(lmcacheAnswers) };
  const context = await fakeContext({ settings: settingsFor({ settings: {} }), urls });
  try {
    return await judgeWithEngines(context, async () => result);
  } finally {
    await context.dispose();
  }
}

const failure = (reason: 'cache-not-exercised' | 'incorrect-output'): StepResult => ({
  ...{ outcome: 'failed', reason, cause: 'threshold', message: 'no hits', evidence: ['proof'], verdicts: [] },
});

describe('a test that failed while an engine hangs', () => {
  it('is not blamed on the code under test', async () => {
    expect(await judged(failure('cache-not-exercised'), false)).toMatchObject({
      reason: 'unknown',
      cause: 'engine-unreachable',
      message: 'The lmcache engine does not answer any more (no answer in time).\nno hits',
      evidence: ['proof'],
    });
  });

  it('is, when all engines answer, or when its answers were wrong', async () => {
    expect(await judged(failure('cache-not-exercised'), true)).toEqual(failure('cache-not-exercised'));
    expect(await judged(failure('incorrect-output'), false)).toEqual(failure('incorrect-output'));
  });
});

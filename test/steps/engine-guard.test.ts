import { createServer, type Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { UnexpectedExit } from '../../engines/fleet.js';
import type { StepResult } from '../../results-schema/step-result.js';
import { judgeWithEngines } from '../../steps/engine-guard.js';
import { ServerUnreachableError } from '../../workloads/server-answer.js';
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

describe('an engine that refuses connections before its process is gone', () => {
  const exit: UnexpectedExit = {
    role: 'lmcache',
    name: 'lmcache-mp-test',
    exit: { code: null, signal: 'SIGKILL', outOfMemory: false, at: '2026-11-22T09:04:38.424Z' },
    logTail: [],
  };

  /** As a killed LMCache server with much pinned memory: seen on a real one for 7 s. */
  async function judgedWhileEnding(isOurs: boolean) {
    const started = performance.now();
    const baseUrl = await serve(true);
    servers.pop()?.close();
    const context = await fakeContext({
      settings: settingsFor({ settings: {} }),
      urls: {},
      unexpectedExit: () => (performance.now() - started > 1500 ? exit : null),
    });
    const endpoint = { role: 'lmcache', baseUrl, containerName: null } as const;
    const logPath = isOurs ? '/tmp/lmcache.log' : null;
    const find = (role: string) => (role === 'lmcache' ? { ...endpoint, logPath } : null);
    try {
      return await judgeWithEngines({ ...context, fleet: { ...context.fleet, find } }, async () => {
        await delay(10);
        throw new ServerUnreachableError(`GET ${baseUrl}/metrics got no answer: connect ECONNREFUSED`);
      });
    } finally {
      await context.dispose();
    }
  }

  it('is waited for, and named as what died', async () => {
    expect(await judgedWhileEnding(true)).toMatchObject({
      reason: 'infrastructure',
      cause: 'engine-died',
      message: expect.stringContaining('The lmcache engine "lmcache-mp-test" died during the test'),
    });
  });

  it('is not, where it is not ours: nobody would tell', async () => {
    expect(await judgedWhileEnding(false)).toMatchObject({ reason: 'infrastructure', cause: 'engine-unreachable' });
  });
});

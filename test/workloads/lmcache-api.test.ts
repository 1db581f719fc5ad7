import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'vitest';
import { clearLmcache } from '../../workloads/lmcache-api.js';

/** A server that answers POST to these paths, and what it was asked. */
async function serve(test: TestContext, answers: Readonly<Record<string, number>>) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(answers[request.url ?? ''] ?? 404).end('said why');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return { asked, baseUrl: `http://127.0.0.1:${port}` };
}

const { signal } = new AbortController();

describe.concurrent('emptying LMCache', () => {
  it('asks by the newest name, and by older ones where that is not known', async (test) => {
    const { expect } = test;
    const newest = await serve(test, { '/cache/clear': 200, '/clear-cache': 200 });
    expect(await clearLmcache(newest.baseUrl, signal)).toEqual({ ok: true });
    expect(newest.asked).toEqual(['POST /cache/clear']);
    const older = await serve(test, { '/cache/clear': 405, '/api/clear-cache': 200 });
    expect(await clearLmcache(older.baseUrl, signal)).toEqual({ ok: true });
    expect(older.asked).toEqual(['POST /cache/clear', 'POST /clear-cache', 'POST /api/clear-cache']);
  });

  it('says why it was not emptied', async (test) => {
    const { expect } = test;
    const broken = await serve(test, { '/cache/clear': 500 });
    expect(await clearLmcache(broken.baseUrl, signal)).toEqual({
      ok: false,
      message: 'POST /cache/clear answered HTTP 500: said why',
    });
    expect(broken.asked).toHaveLength(1);
    const none = await serve(test, {});
    expect(await clearLmcache(none.baseUrl, signal)).toMatchObject({
      ok: false,
      message: expect.stringContaining('offers none of /cache/clear, /clear-cache, /api/clear-cache'),
    });
  });
});

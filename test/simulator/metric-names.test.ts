import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { runCacheServer } from '../../simulator/lmcache/run-server.js';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const shapes = z.record(z.string(), z.object({ type: z.string(), labels: z.array(z.string()) }));
const recorded = z
  .object({ engine: shapes, cacheServer: shapes })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/vllm-0.26/metrics.json', import.meta.url), 'utf8')));

/** Of GPU blocks, which the simulated engine does not report to its cache server. */
const NOT_SIMULATED = /^lmcache_mp_l0_block_/;

let server: ServedInProcess;
let httpPort: number | null = null;
let stopCacheServer: () => Promise<number>;

beforeAll(async () => {
  const ending = new AbortController();
  let ended: Promise<number> = Promise.resolve(0);
  // So small that a few prompts fill it.
  const args = ['--l1-size-gb', '0.2', '--eviction-policy', 'LRU', '--port', '0', '--http-port', '0'];
  const ports = await new Promise<{ port: number; httpPort: number | null }>((resolve, reject) => {
    const write = (): void => undefined;
    ended = runCacheServer('server', [...args, '--metrics-sample-rate', '1'], {
      environment: { SIM_SPEED: '200' },
      signal: ending.signal,
      write,
      writeError: (line) => reject(new Error(line)),
      onReady: resolve,
    });
  });
  httpPort = ports.httpPort;
  stopCacheServer = () => {
    ending.abort();
    return ended;
  };
  const config = { kv_connector: 'LMCacheMPConnector', kv_role: 'kv_both' };
  const extra = { 'lmcache.mp.host': 'tcp://127.0.0.1', 'lmcache.mp.port': ports.port };
  server = await serveInProcess(
    ['--kv-transfer-config', JSON.stringify({ ...config, kv_connector_extra_config: extra })],
    { VLLM_SERVER_DEV_MODE: '1' },
  );
  for (const name of ['a', 'a', 'b', 'c', 'd', 'e', 'e']) {
    const prompt = `${name} ${new Array(1000).fill('hi').join(' ')}`;
    await fetch(`${server.baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt, max_tokens: 2 }),
    });
    await fetch(`${server.baseUrl}/reset_prefix_cache`, { method: 'POST' });
  }
});

afterAll(async () => {
  await server.stop();
  await stopCacheServer();
});

/** Type and labels of each metric of a page. */
async function shapesOf(url: string): Promise<z.infer<typeof shapes>> {
  const page = await (await fetch(url)).text();
  const found: Record<string, { type: string; labels: string[] }> = {};
  for (const line of page.split('\n')) {
    const [, name, type] = /^# TYPE (\S+) (\S+)/.exec(line) ?? [];
    if (name !== undefined && type !== undefined) found[name] = { type, labels: [] };
    const [, sample = '', labels = ''] = /^([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})? /.exec(line) ?? [];
    const owner = found[sample] ?? found[sample.replace(/_(bucket|count|sum)$/, '')];
    if (owner === undefined) continue;
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label);
    owner.labels = [...new Set([...owner.labels, ...names.filter((label) => label !== 'le')])].sort();
  }
  return found;
}

describe('every metric of the recorded servers is there, with its type and labels', () => {
  it('of the engine', async () => {
    const own = await shapesOf(`${server.baseUrl}/metrics`);
    expect(own).toMatchObject(recorded.engine);
  });

  it('of the cache server', async () => {
    const own = await shapesOf(`http://127.0.0.1:${httpPort}/metrics`);
    const wanted = Object.entries(recorded.cacheServer).filter(([name]) => !NOT_SIMULATED.test(name));
    expect(own).toMatchObject(Object.fromEntries(wanted));
  });
});

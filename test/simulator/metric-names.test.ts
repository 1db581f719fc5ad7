import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type CacheServerInProcess, kvTransferConfig, serveCacheInProcess } from './cache-server-in-process.js';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const shapes = z.record(z.string(), z.object({ type: z.string(), help: z.string(), labels: z.array(z.string()) }));
type Shapes = z.infer<typeof shapes>;
const recorded = z
  .object({ engine: shapes, cacheServer: shapes })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/vllm-0.26/metrics.json', import.meta.url), 'utf8')));

/** Named in reference/lmcache.md, but not by the recorded version: their help is not known. */
const OF_OTHER_VERSIONS = [
  'lmcache_mp_lookup_hit_l1_tokens_total',
  'lmcache_mp_lookup_hit_l2_tokens_total',
  'lmcache_mp_lookup_hit_l2_keys_total',
];

let server: ServedInProcess;
let cacheServer: CacheServerInProcess;
/** Of every page that was scraped between the requests: some metrics are only there while something runs. */
let cacheServerShapes: Shapes = {};

beforeAll(async () => {
  // L1 so small that a few prompts fill it, L2 so slow that stores are seen under way.
  const l2 = JSON.stringify({ type: 'mock', max_size_gb: 1, mock_bandwidth_gb: 0.01 });
  const args = ['--l1-size-gb', '0.2', '--l2-adapter', l2, '--metrics-sample-rate', '1'];
  cacheServer = await serveCacheInProcess(args, { SIM_SPEED: '200' });
  server = await serveInProcess(
    [
      ...['--kv-transfer-config', kvTransferConfig(cacheServer.port)],
      // So few blocks that prompts take each other's.
      ...['--max-model-len', '1100', '--num-gpu-blocks-override', '100'],
    ],
    { VLLM_SERVER_DEV_MODE: '1' },
  );
  cacheServerShapes = await shapesOf(`${cacheServer.httpUrl}/metrics`);
  for (const [name, forgets] of [
    ...['a', 'a', 'a'].map((name) => [name, false] as const),
    ...['b', 'c', 'd', 'e', 'e', 'a', 'b', 'f'].map((name) => [name, true] as const),
  ]) {
    const prompt = `${name} ${new Array(1000).fill('hi').join(' ')}`;
    await fetch(`${server.baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt, max_tokens: 2 }),
    });
    Object.assign(cacheServerShapes, await shapesOf(`${cacheServer.httpUrl}/metrics`));
    if (forgets) await fetch(`${server.baseUrl}/reset_prefix_cache`, { method: 'POST' });
  }
});

afterAll(async () => {
  await server.stop();
  await cacheServer.stop();
});

/** Type, help and labels of each metric of a page. */
async function shapesOf(url: string): Promise<Shapes> {
  const page = await (await fetch(url)).text();
  const found: Record<string, { type: string; help: string; labels: string[] }> = {};
  let help = '';
  for (const line of page.split('\n')) {
    help = /^# HELP \S+ (.*)$/.exec(line)?.[1] ?? help;
    const [, name, type] = /^# TYPE (\S+) (\S+)/.exec(line) ?? [];
    if (name !== undefined && type !== undefined) found[name] = { type, help, labels: [] };
    const [, sample = '', labels = ''] = /^([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})? /.exec(line) ?? [];
    const owner = found[sample] ?? found[sample.replace(/_(bucket|count|sum)$/, '')];
    if (owner === undefined) continue;
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label);
    owner.labels = [...new Set([...owner.labels, ...names.filter((label) => label !== 'le')])].sort();
  }
  return found;
}

/** Those of the recorded metrics that are there in another shape, or not at all. */
function different(own: Shapes, wanted: Shapes): readonly string[] {
  return Object.entries(wanted)
    .filter(([name, shape]) => JSON.stringify(shape) !== JSON.stringify(sameOrder(own[name])))
    .map(([name]) => name);
}

function sameOrder(shape: Shapes[string] | undefined): unknown {
  return shape === undefined ? undefined : shapes.parse({ shape }).shape;
}

describe('every metric of the recorded servers is there, with its type, labels and help text', () => {
  it('of the engine', async () => {
    expect(Object.keys(recorded.engine)).toHaveLength(86);
    expect(different(await shapesOf(`${server.baseUrl}/metrics`), recorded.engine)).toEqual([]);
  });

  it('of the cache server, and those of its reference', () => {
    expect(Object.keys(recorded.cacheServer)).toHaveLength(54);
    expect(different(cacheServerShapes, recorded.cacheServer)).toEqual([]);
    expect(OF_OTHER_VERSIONS.filter((name) => cacheServerShapes[name]?.type !== 'counter')).toEqual([]);
  });
});

it('tells how long GPU blocks lived, were idle and went unused between two uses', async () => {
  const page = await (await fetch(`${cacheServer.httpUrl}/metrics`)).text();
  const value = (name: string) => Number(new RegExp(`^lmcache_mp_l0_block_${name}{.*} (\\S+)$`, 'm').exec(page)?.[1]);
  // 63 blocks of each of the prompts after the three of "a", from a pool of 99; those three used theirs again twice.
  expect(value('lifetime_seconds_count')).toBe(value('idle_before_evict_seconds_count'));
  expect(value('lifetime_seconds_count')).toBeGreaterThan(300);
  expect(value('lifetime_seconds_sum')).toBeGreaterThan(value('idle_before_evict_seconds_sum'));
  expect(value('reuse_gap_seconds_count')).toBe(62);
});

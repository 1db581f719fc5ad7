import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { SimulatedClock } from '../contracts.js';
import type { CacheTier } from './cache-tier.js';
import { chunkHashes } from './chunk-hash.js';
import { HttpProblem, type Routes, readBodyAs, readQueryAs, tierField } from './http-router.js';
import type { L2Adapter } from './l2-adapter.js';
import { ENGINE_KV_FORMAT } from './server-status.js';
import type { TierEndpoint } from './tier-endpoint.js';

/** Bytes of a chunk's name in hexadecimal (chunk-hash.ts). */
const HASH_CHARACTERS = 16;
const MOST_KEYS_A_REQUEST = 10_000;

const objectKeySchema = z.looseObject({
  chunk_hash_hex: z.string(),
  model_name: z.string(),
  kv_rank: z.int(),
  object_group_id: z.int().default(0),
  cache_salt: z.string().default(''),
});
const listSchema = z.looseObject({
  tier: tierField.default('l2'),
  adapter: z.string().optional(),
  model_name: z.string().optional(),
  page_size: z.coerce.number().int().min(1).max(5000).default(500),
  page_token: z.string().optional(),
});
const deleteSchema = z.looseObject({
  keys: z.array(objectKeySchema),
  tier: tierField.default('l2'),
  adapter: z.string().nullish(),
});
const prefetchSchema = z.looseObject({
  model_name: z.string(),
  world_size: z.int(),
  token_ids: z.array(z.int()),
  cache_salt: z.string().default(''),
  source_tier: tierField.default('l2'),
  target_tier: tierField.default('l1'),
});
const clearSchema = z.looseObject({ tier: tierField.default('l1') });
const checksumSchema = z.looseObject({
  block_ids: z.array(z.int()).default([]),
  chunk_size: z.int().default(0),
  instance_id: z.int().default(0),
});

interface PrefetchJob {
  readonly readyAt: number;
  readonly foundKeys: number;
  readonly totalKeys: number;
}

/** `/cache/*` of LMCache's HTTP API: what the tier holds, and how to change it. */
export function cacheRoutes(tier: CacheTier, endpoint: TierEndpoint, clock: SimulatedClock): Routes {
  const jobs = new Map<string, PrefetchJob>();
  return {
    '/cache/objects': {
      GET: ({ query }) => ({ json: listObjects(tier, readQueryAs(listSchema, query)) }),
      DELETE: ({ body }) => ({ json: deleteObjects(tier, readBodyAs(deleteSchema, body)) }),
    },
    '/cache/prefetches': {
      POST: ({ body }) => {
        const wanted = readBodyAs(prefetchSchema, body);
        const { source_tier: source, target_tier: target } = wanted;
        if (source !== 'l2' || target !== 'l1') {
          throw new HttpProblem(400, `unsupported prefetch direction '${source}'->'${target}'; only 'l2'->'l1'`);
        }
        const job = startPrefetch(tier, endpoint, wanted);
        if (job === null) return { status: 202, json: { chunks: 0, status: 'noop' } };
        const id = randomUUID();
        jobs.set(id, job);
        return { status: 202, json: { request_id: id, chunks: job.totalKeys, status: 'submitted' } };
      },
    },
    '/cache/prefetches/{request_id}': {
      GET: ({ params: { request_id: id = '' } }) => {
        const job = jobs.get(id);
        if (job === undefined) {
          throw new HttpProblem(404, `unknown prefetch request_id='${id}' (already completed or never submitted)`);
        }
        if (job.readyAt > clock.now()) return { json: { request_id: id, status: 'pending' } };
        jobs.delete(id);
        const counts = { found_keys: job.foundKeys, total_keys: job.totalKeys };
        return { json: { request_id: id, status: 'completed', ...counts } };
      },
    },
    '/cache/clear': {
      POST: ({ body }) => {
        const { tier: wanted } = readBodyAs(clearSchema, body.trim() === '' ? '{}' : body);
        if (wanted !== 'l1') throw new HttpProblem(400, `tier '${wanted}' not supported; only 'l1'`);
        tier.clear();
        return { json: { status: 'ok', cleared: { tier: 'l1' } } };
      },
    },
    '/cache/checksums': {
      POST: ({ body }) => {
        const wanted = readBodyAs(checksumSchema, body);
        const known = [...endpoint.engines.values()].some(({ instance }) => Number(instance) === wanted.instance_id);
        if (!known) throw new HttpProblem(404, `instance_id ${wanted.instance_id} not registered`);
        if (wanted.block_ids.length === 0) throw new HttpProblem(400, 'block_ids is required');
        if (wanted.chunk_size <= 0) throw new HttpProblem(400, 'chunk_size must be positive');
        // What LMCache 0.5.3 answers for the recorded engine's format; the simulator holds no bytes to sum up anyway.
        throw new HttpProblem(501, `checksum not supported for GPU KV format ${ENGINE_KV_FORMAT}`);
      },
    },
    '/config/adapters': {
      GET: () => ({
        json: {
          adapters: tier.options.l2.map(({ name }, index) => ({
            index,
            type_name: name,
            tier: 'l2',
            primary: index === 0,
            reconfigurable: false,
          })),
        },
      }),
    },
  };
}

function adapterOf(tier: CacheTier, name: string | null | undefined): L2Adapter {
  const [primary] = tier.options.l2;
  if (primary === undefined) throw new HttpProblem(503, 'no L2 adapters configured');
  if (name === null || name === undefined) return primary;
  const found = tier.options.l2.find((adapter) => adapter.name === name);
  if (found === undefined) throw new HttpProblem(404, `no L2 adapter with type_name='${name}'`);
  return found;
}

function listObjects(tier: CacheTier, wanted: z.infer<typeof listSchema>): unknown {
  if (wanted.tier !== 'l2') throw new HttpProblem(400, `tier '${wanted.tier}' not supported; only 'l2'`);
  const adapter = adapterOf(tier, wanted.adapter);
  if (wanted.page_token !== undefined && !/^\s*[+-]?\d+\s*$/.test(wanted.page_token)) {
    throw new HttpProblem(400, `invalid literal for int() with base 10: '${wanted.page_token}'`);
  }
  const start = Number(wanted.page_token ?? 0);
  const end = start + wanted.page_size;
  const all = tier.storedIn(adapter).filter(([key]) => wanted.model_name === undefined || isOf(wanted.model_name, key));
  return {
    adapter: adapter.name,
    shared: false,
    entries: all.slice(start, end).map(([key, bytes]) => ({
      key: {
        chunk_hash_hex: key.slice(-HASH_CHARACTERS),
        model_name: key.slice(0, -HASH_CHARACTERS - 1),
        kv_rank: 0,
        object_group_id: 0,
        cache_salt: '',
      },
      size_bytes: bytes,
    })),
    next_page_token: end < all.length ? String(end) : null,
  };
}

function isOf(model: string, key: string): boolean {
  return key.length === model.length + 1 + HASH_CHARACTERS && key.startsWith(`${model}/`);
}

function deleteObjects(tier: CacheTier, wanted: z.infer<typeof deleteSchema>): unknown {
  const { keys } = wanted;
  if (keys.length > MOST_KEYS_A_REQUEST) {
    const most = MOST_KEYS_A_REQUEST;
    throw new HttpProblem(400, `too many keys in a single request (limit=${most}, got=${keys.length})`);
  }
  for (const [index, { chunk_hash_hex: hex }] of keys.entries()) {
    if (!/^([0-9a-f]{2})*$/i.test(hex)) {
      throw new HttpProblem(400, `keys[${index}]: non-hexadecimal number found in fromhex() arg`);
    }
  }
  const names = keys.map((key) => `${key.model_name}/${key.chunk_hash_hex.toLowerCase()}`);
  let deleted = wanted.tier === 'l2' ? 0 : tier.removeFromL1(names);
  if (wanted.tier !== 'l1') {
    tier.removeFromL2(adapterOf(tier, wanted.adapter), names);
    // The real one counts what it was asked for.
    deleted += names.length;
  }
  return { deleted, skipped: 0, ok: true };
}

/** null: less than one chunk. */
function startPrefetch(
  tier: CacheTier,
  endpoint: TierEndpoint,
  wanted: z.infer<typeof prefetchSchema>,
): PrefetchJob | null {
  const { model_name: model, world_size: worldSize, token_ids: tokenIds } = wanted;
  const engine = [...endpoint.engines.values()].find((one) => one.model === model);
  if (engine === undefined || worldSize !== 1) {
    const text = `no layout registered for model_name='${model}' world_size=${worldSize}; the model has not allocated KV cache on this node yet`;
    throw new HttpProblem(503, text);
  }
  const { chunkTokens } = tier.options;
  const hashes = chunkHashes(tokenIds, chunkTokens, model);
  if (hashes.length === 0) return null;
  const { chunks, readyAt } = tier.warm({ model, hashes, chunkBytes: engine.kvBytesPerToken * chunkTokens });
  return { readyAt, foundKeys: chunks, totalKeys: hashes.length };
}

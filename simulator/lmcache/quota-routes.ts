import { z } from 'zod';
import type { CacheTier } from './cache-tier.js';
import { type Answer, type Routes, readBodyAs } from './http-router.js';

const GIB = 1024 ** 3;
/** Stands in paths for the empty salt of requests without one, the only salt of the simulator's engines. */
const DEFAULT_SALT = '_default';

const refused = (status: number, error: string): Answer => ({ status, json: { error } });

/** `/quota` and `/reconfigure`: limits of tenants, which only the policy IsolatedLRU heeds, and adapters that change at run time. */
export function quotaRoutes(tier: CacheTier): Routes {
  const limits = new Map<string, number>();
  const usedGib = (salt: string): number =>
    salt === DEFAULT_SALT ? tier.options.l2.reduce((sum, { usedBytes }) => sum + usedBytes, 0) / GIB : 0;
  return {
    '/quota': {
      GET: () => ({
        json: {
          users: Object.fromEntries(
            [...limits].map(([salt, limit]) => [salt, { limit_gb: limit, current_usage_gb: usedGib(salt) }]),
          ),
        },
      }),
    },
    '/quota/{cache_salt}': {
      PUT: ({ params: { cache_salt: salt = '' }, body }) => {
        const limit = readLimit(body);
        if (typeof limit !== 'number') return limit;
        limits.set(salt, limit);
        return { json: { cache_salt: salt, limit_gb: limit, status: 'ok' } };
      },
      GET: ({ params: { cache_salt: salt = '' } }) => {
        const limit = limits.get(salt);
        const state = { limit_gb: limit ?? 0, current_usage_gb: usedGib(salt), exists: limit !== undefined };
        return { json: { cache_salt: salt, ...state } };
      },
      DELETE: ({ params: { cache_salt: salt = '' } }) => ({
        json: { cache_salt: salt, status: limits.delete(salt) ? 'removed' : 'not_found' },
      }),
    },
    '/reconfigure/{backend}/status': {
      GET: ({ params: { backend = '' } }) => {
        const name = backend.trim().toLowerCase();
        return { json: { enabled: false, backend: name, num_adapters: 0, adapters: [] } };
      },
    },
    '/reconfigure/{backend}/{operation}': {
      POST: ({ params: { backend = '' }, body }) => {
        readBodyAs(z.looseObject({}), body);
        return refused(404, `${backend.trim().toLowerCase()} adapter not found`);
      },
    },
  };
}

/** GiB, or the refusal. */
function readLimit(body: string): number | Answer {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return refused(400, 'invalid JSON body');
  }
  if (typeof value !== 'object' || value === null || !('limit_gb' in value)) {
    return refused(400, "body must be {'limit_gb': <float>}");
  }
  const { limit_gb: given } = value;
  const limit =
    typeof given === 'number' || (typeof given === 'string' && given.trim() !== '') ? Number(given) : Number.NaN;
  if (Number.isNaN(limit)) return refused(400, 'limit_gb must be numeric');
  if (!Number.isFinite(limit)) return refused(400, 'limit_gb must be finite');
  return limit < 0 ? refused(400, 'limit_gb must be non-negative') : limit;
}

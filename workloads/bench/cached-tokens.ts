import { scrapeMetrics } from '../metrics.js';

const counters = ['vllm:prefix_cache_hits_total', 'vllm:external_prefix_cache_hits_total'];

/**
 * Prompt tokens that a vLLM has taken from caches since it began, whoever asked: its own prefix cache, and what a
 * connector brought.
 * @returns null where it does not count them, or does not say
 */
export async function cachedTokensSoFar(baseUrl: string, signal: AbortSignal): Promise<number | null> {
  const metrics = await scrapeMetrics(baseUrl, signal).catch(() => null);
  if (metrics === null || !counters.some((name) => metrics.has(name))) return null;
  const tokens = counters.reduce((sum, name) => sum + metrics.sum(name), 0);
  return Number.isFinite(tokens) ? tokens : null;
}

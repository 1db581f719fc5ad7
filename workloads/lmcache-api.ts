import { ask } from './server-answer.js';

/** The same by its names in LMCache's releases, newest first. */
const clearPaths = ['/cache/clear', '/clear-cache', '/api/clear-cache'];

/**
 * Empties the memory tier (L1) of an LMCache server; tiers behind it keep what they hold.
 * @throws ServerUnreachableError
 */
export async function clearLmcache(
  baseUrl: string,
  signal: AbortSignal,
): Promise<{ readonly ok: true } | { readonly ok: false; readonly message: string }> {
  for (const path of clearPaths) {
    const answer = await ask({ baseUrl, model: '' }, 'POST', path, { signal, body: {} });
    if (answer.status >= 200 && answer.status < 300) return { ok: true };
    if (answer.status !== 404 && answer.status !== 405) {
      return { ok: false, message: `POST ${path} answered HTTP ${answer.status}: ${answer.text.trim().slice(0, 500)}` };
    }
  }
  return { ok: false, message: `The LMCache server at "${baseUrl}" offers none of ${clearPaths.join(', ')}.` };
}

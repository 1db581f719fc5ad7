import { type ConversationAwareOptions, worthUntil } from '../../simulator/lmcache/conversation-worth.js';

/** One request as the naive caches take it: its chunks by name, of which the first `lookups` are looked up. */
export interface NaiveRequest {
  readonly path: readonly string[];
  readonly lookups: number;
  readonly conversation: number;
  readonly timeSeconds: number;
}

/** Lists and loops only: slow, and plainly what the policies say they are. All return chunks hit. */
export const naiveCaches = {
  lru(requests: readonly NaiveRequest[], size: number): number {
    let recent: string[] = [];
    let hits = 0;
    for (const { path, lookups } of requests) {
      hits += prefixHits(path, lookups, (chunk) => recent.includes(chunk));
      for (const chunk of [...path].reverse()) recent = [chunk, ...recent.filter((other) => other !== chunk)];
      recent = recent.slice(0, size);
    }
    return hits;
  },

  fifo(requests: readonly NaiveRequest[], size: number): number {
    const queue: string[] = [];
    let hits = 0;
    for (const { path, lookups } of requests) {
      hits += prefixHits(path, lookups, (chunk) => queue.includes(chunk));
      for (const chunk of path) {
        if (queue.includes(chunk)) continue;
        queue.push(chunk);
        if (queue.length > size) queue.shift();
      }
    }
    return hits;
  },

  conversation(requests: readonly NaiveRequest[], size: number, options: ConversationAwareOptions): number {
    const cached = new Map<string, { worth: number; request: number; position: number }>();
    const usedAt = new Map<number, number>();
    let hits = 0;
    for (const [request, { path, lookups, conversation, timeSeconds }] of requests.entries()) {
      hits += prefixHits(path, lookups, (chunk) => cached.has(chunk));
      const before = usedAt.get(conversation);
      const isNew = before === undefined || !cached.has(path[0] ?? '');
      const worth = worthUntil(timeSeconds, isNew ? null : timeSeconds - before, options);
      usedAt.set(conversation, timeSeconds);
      for (const [position, chunk] of path.entries()) {
        if ((cached.get(chunk)?.worth ?? Number.NEGATIVE_INFINITY) <= worth)
          cached.set(chunk, { worth, request, position });
      }
      const leastFirst = [...cached].sort(
        ([, a], [, b]) => a.worth - b.worth || a.request - b.request || b.position - a.position,
      );
      for (const [chunk] of leastFirst.slice(0, Math.max(0, cached.size - size))) cached.delete(chunk);
    }
    return hits;
  },

  belady(requests: readonly NaiveRequest[], size: number): number {
    let cached: string[] = [];
    let hits = 0;
    for (const [now, { path, lookups }] of requests.entries()) {
      hits += prefixHits(path, lookups, (chunk) => cached.includes(chunk));
      const nextLookup = (chunk: string): number => {
        const next = requests.findIndex(
          (request, at) => at > now && request.path.slice(0, request.lookups).includes(chunk),
        );
        return next === -1 ? Number.POSITIVE_INFINITY : next;
      };
      const depth = (chunk: string): number => chunk.length;
      cached = [...new Set([...cached, ...path])]
        .map((chunk) => ({ chunk, next: nextLookup(chunk) }))
        .sort((a, b) => a.next - b.next || depth(a.chunk) - depth(b.chunk))
        .slice(0, size)
        .map(({ chunk }) => chunk);
    }
    return hits;
  },
};

/** A hit ends at the first chunk that is missing. */
function prefixHits(path: readonly string[], lookups: number, has: (chunk: string) => boolean): number {
  const looked = path.slice(0, lookups);
  const missing = looked.findIndex((chunk) => !has(chunk));
  return missing === -1 ? looked.length : missing;
}

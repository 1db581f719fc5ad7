import { once } from 'node:events';

/** Settles as the promise does, or rejects with the signal's reason at once. */
export async function untilAborted<Answer>(promise: Promise<Answer>, signal: AbortSignal): Promise<Answer> {
  signal.throwIfAborted();
  const settled = new AbortController();
  try {
    return await Promise.race([
      promise,
      once(signal, 'abort', { signal: settled.signal }).then(() => Promise.reject(signal.reason)),
    ]);
  } finally {
    settled.abort();
  }
}

import { setTimeout as delay } from 'node:timers/promises';

const longestPauseMs = 50;

/**
 * Looks at a condition that nobody announces (a process that ends, a file that appears), at first after 2 ms,
 * then ever slower up to 50 ms.
 * @returns whether it held within `limitMs`.
 */
export async function waitUntil(condition: () => boolean, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 1.5, longestPauseMs)) {
    if (condition()) return true;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return false;
    await delay(Math.min(pauseMs, leftMs));
  }
}

/** setTimeout takes no more than 2^31 - 1 ms. */
const longestTimerMs = 2 ** 31 - 1;
/** How often something whose time is over, and that is still used, is looked at. */
const usedPauseMs = 1000;

/** Calls `expire` once `ttlMs` have passed; as long as somebody uses it, that waits. */
export function expireAfter(ttlMs: number, isUsed: () => boolean, expire: () => void): void {
  const deadlineMs = performance.now() + ttlMs;
  const look = (): void => {
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0 && !isUsed()) expire();
    else setTimeout(look, leftMs > 0 ? Math.min(leftMs, longestTimerMs) : usedPauseMs);
  };
  look();
}

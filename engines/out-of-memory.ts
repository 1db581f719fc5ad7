import { readFileSync } from 'node:fs';

/** How often the kernel has killed a process for lack of memory since boot; null where it does not say. */
export function kernelOomKills(): number | null {
  try {
    const match = /^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'utf8'));
    return match ? Number(match[1]) : null;
  } catch {
    return null;
  }
}

/**
 * Whether an engine was ended by the kernel's OOM killer: a SIGKILL that we did not send, while the kernel's
 * count of such kills rose. A guess, since the count is the whole machine's; false where it is not readable.
 */
export function looksOutOfMemory(facts: {
  readonly signal: string | null;
  readonly killedByUs: boolean;
  readonly killsBefore: number | null;
  readonly killsAfter: number | null;
}): boolean {
  return (
    facts.signal === 'SIGKILL' &&
    !facts.killedByUs &&
    facts.killsBefore !== null &&
    facts.killsAfter !== null &&
    facts.killsAfter > facts.killsBefore
  );
}

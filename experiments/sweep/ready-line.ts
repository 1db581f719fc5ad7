import { open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const lookMs = 50;
const blockBytes = 65_536;

/**
 * Follows a log until one of its lines matches: each byte is read once, however long the log grows.
 * @returns false when the signal ended the waiting
 */
export async function waitForLine(file: string, pattern: RegExp, signal: AbortSignal): Promise<boolean> {
  const block = Buffer.alloc(blockBytes);
  let offset = 0;
  /** What has no line end yet. */
  let rest = '';
  const decoder = new TextDecoder();
  while (!signal.aborted) {
    const handle = await open(file).catch(() => null);
    try {
      for (;;) {
        const read = handle === null ? 0 : (await handle.read(block, 0, blockBytes, offset)).bytesRead;
        if (read === 0) break;
        offset += read;
        const lines = `${rest}${decoder.decode(block.subarray(0, read), { stream: true })}`.split('\n');
        rest = lines.pop() ?? '';
        if (lines.some((line) => pattern.test(line))) return true;
      }
    } finally {
      await handle?.close();
    }
    await delay(lookMs, undefined, { signal }).catch(() => undefined);
  }
  return false;
}

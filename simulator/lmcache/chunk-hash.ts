import { createHash } from 'node:crypto';

/**
 * Names of the full chunks of a prompt: each is a hash over its own tokens and its predecessor's name, so equal
 * names mean equal prefixes. 64 bits in hexadecimal.
 * @param seed tells models and KV layouts apart.
 */
export function chunkHashes(tokenIds: readonly number[], chunkTokens: number, seed: string): string[] {
  const chunks = Math.floor(tokenIds.length / chunkTokens);
  const words = Int32Array.from(tokenIds.slice(0, chunks * chunkTokens));
  const bytes = new Uint8Array(words.buffer);
  const hashes: string[] = [];
  let previous = seed;
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    const part = bytes.subarray(chunk * chunkTokens * 4, (chunk + 1) * chunkTokens * 4);
    previous = createHash('sha1').update(previous).update(part).digest('hex').slice(0, 16);
    hashes.push(previous);
  }
  return hashes;
}

import { byteOfCharacter } from './byte-alphabet.js';
import type { ByteLevelFile } from './byte-level-file.js';

const MOST_IDS = 2 ** 24;

/** The bytes that every id stands for, in one array: one array for each would take longer to make than to use. */
export class TokenBytes {
  readonly pool: Uint8Array;
  /** Where each id's bytes begin in the pool; those of id `n` end where those of `n + 1` begin. */
  readonly starts: Int32Array;

  private constructor(starts: Int32Array) {
    this.starts = starts;
    this.pool = new Uint8Array(starts.at(-1) ?? 0);
  }

  /** @returns null where a token is none of the byte-level alphabet; an id that nobody has stands for nothing */
  static from({ tokens, addedTokens }: ByteLevelFile): TokenBytes | null {
    const added = new Map(addedTokens.map(({ id, content }) => [id, Buffer.from(content)]));
    let count = 0;
    let least = 0;
    for (const [, id] of tokens) {
      count = Math.max(count, id + 1);
      least = Math.min(least, id);
    }
    for (const id of added.keys()) {
      count = Math.max(count, id + 1);
    }
    if (least < 0 || count > MOST_IDS) {
      return null;
    }
    const lengths = new Int32Array(count);
    for (const [token, id] of tokens) {
      lengths[id] = token.length;
    }
    for (const [id, bytes] of added) {
      lengths[id] = bytes.length;
    }
    const starts = new Int32Array(count + 1);
    for (let id = 0; id < count; id += 1) {
      starts[id + 1] = (starts[id] ?? 0) + (lengths[id] ?? 0);
    }
    const result = new TokenBytes(starts);
    for (const [token, id] of tokens) {
      if (!added.has(id) && !result.#write(token, starts[id] ?? 0)) {
        return null;
      }
    }
    for (const [id, bytes] of added) {
      result.pool.set(bytes, starts[id]);
    }
    return result;
  }

  get count(): number {
    return this.starts.length - 1;
  }

  /** By byte, the id that stands for it alone; -1: none. */
  idsOfBytes(isAdded: (id: number) => boolean): Int32Array {
    const ids = new Int32Array(256).fill(-1);
    for (let id = 0; id < this.count; id += 1) {
      const start = this.starts[id] ?? 0;
      if (this.starts[id + 1] === start + 1 && !isAdded(id)) {
        ids[this.pool[start] ?? 0] = id;
      }
    }
    return ids;
  }

  #write(token: string, start: number): boolean {
    for (let index = 0; index < token.length; index += 1) {
      const byte = byteOfCharacter(token.charCodeAt(index));
      if (byte < 0) {
        return false;
      }
      this.pool[start + index] = byte;
    }
    return true;
  }
}

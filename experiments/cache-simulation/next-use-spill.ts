import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChunkPaths } from './chunk-paths.js';

const NEVER = 0xffff_ffff;

/**
 * When the chunks of each request are looked up next, written to disk by one pass from the trace's end to its
 * beginning. Memory holds 4 bytes for each distinct chunk during that pass, and one group of requests afterwards.
 *
 * A request's entry is the number of its stretches, then for each the request that looks it up next and how many
 * chunks it is long, in the path's order; chunks that are never looked up again are not in it.
 */
export class NextUseSpill {
  readonly #directory: string;
  readonly #file: FileHandle;
  readonly #groups: readonly { readonly offset: number; readonly words: number }[];
  #words = new Uint32Array(0);
  #position = 0;

  private constructor(
    directory: string,
    file: FileHandle,
    groups: readonly { readonly offset: number; readonly words: number }[],
  ) {
    this.#directory = directory;
    this.#file = file;
    this.#groups = groups;
  }

  /** @param scratch a directory; what is made there goes with `remove` */
  static async write(paths: ChunkPaths, scratch: string, signal?: AbortSignal): Promise<NextUseSpill> {
    const directory = await mkdtemp(join(scratch, 'lmcache-ci-next-use-'));
    try {
      const file = await open(join(directory, 'next-use'), 'wx+', 0o600);
      try {
        return new NextUseSpill(directory, file, await writeBackwards(paths, file, signal));
      } catch (error) {
        await file.close();
        throw error;
      }
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Makes the entries of a group the next ones. */
  async load(group: number): Promise<void> {
    const { offset, words } = this.#groups[group] ?? { offset: 0, words: 0 };
    if (this.#words.length < words) {
      this.#words = new Uint32Array(Math.ceil(words * 1.25));
    }
    const bytes = Buffer.from(this.#words.buffer, 0, words * 4);
    const { bytesRead } = await this.#file.read(bytes, 0, bytes.length, offset);
    if (bytesRead !== bytes.length) {
      throw new Error(`The scratch file in "${this.#directory}" was cut off: is the disk full?`);
    }
    this.#position = 0;
  }

  /** The next word: a count, or half of a stretch. */
  next(): number {
    const word = this.#words[this.#position] ?? 0;
    this.#position += 1;
    return word;
  }

  async remove(): Promise<void> {
    await this.#file.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function writeBackwards(
  paths: ChunkPaths,
  file: FileHandle,
  signal: AbortSignal | undefined,
): Promise<readonly { readonly offset: number; readonly words: number }[]> {
  const nextLookups = new Uint32Array(paths.idSpace).fill(NEVER);
  const groups = new Array<{ readonly offset: number; readonly words: number }>(paths.groupCount);
  const entries = new BackwardWords();
  let offset = 0;
  for (let group = paths.groupCount - 1; group >= 0; group -= 1) {
    signal?.throwIfAborted();
    await paths.load(group);
    entries.clear();
    for (let row = paths.rows - 1; row >= 0; row -= 1) {
      if (paths.select(row)) {
        addEntry(entries, paths, nextLookups, paths.firstRow + row);
      }
    }
    const words = entries.words();
    await file.write(Buffer.from(words.buffer, words.byteOffset, words.byteLength), 0, words.byteLength, offset);
    groups[group] = { offset, words: words.length };
    offset += words.byteLength;
  }
  return groups;
}

/** From its last word to its first. */
function addEntry(entries: BackwardWords, paths: ChunkPaths, nextLookups: Uint32Array, request: number): void {
  const { path, lookups } = paths;
  let stretches = 0;
  let position = paths.length - 1;
  while (position >= 0) {
    const next = nextLookups[path[position] ?? 0] ?? NEVER;
    let start = position;
    while (start > 0 && nextLookups[path[start - 1] ?? 0] === next) {
      start -= 1;
    }
    if (next !== NEVER) {
      entries.push(position - start + 1);
      entries.push(next);
      stretches += 1;
    }
    position = start - 1;
  }
  entries.push(stretches);
  for (let looked = 0; looked < lookups; looked += 1) {
    nextLookups[path[looked] ?? 0] = request;
  }
}

/** Words that are pushed from the last to the first. */
class BackwardWords {
  #words = new Uint32Array(1024 * 1024);
  #start = this.#words.length;

  clear(): void {
    this.#start = this.#words.length;
  }

  push(word: number): void {
    if (this.#start === 0) {
      const larger = new Uint32Array(this.#words.length * 2);
      larger.set(this.#words, this.#words.length);
      this.#start = this.#words.length;
      this.#words = larger;
    }
    this.#start -= 1;
    this.#words[this.#start] = word;
  }

  words(): Uint32Array {
    return this.#words.subarray(this.#start);
  }
}

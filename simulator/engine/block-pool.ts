const NO_KEY = -1;

/** Told what becomes of blocks. */
export interface BlockObserver {
  taken(blocks: readonly number[]): void;
  revived(block: number): void;
}

/**
 * The GPU's KV blocks: reference counts, the prefix cache's index, and the free blocks in the order in which
 * they will be reused (least recently freed first). A free block keeps its content until it is reused.
 * Block 0 is never handed out, as in vLLM (its null block).
 */
export class BlockPool {
  readonly blockCount: number;
  readonly #references: Uint32Array;
  readonly #keys: Float64Array;
  /** Doubly linked list of free blocks; block 0 is both of its ends. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #byKey = new Map<number, number[]>();
  #free = 0;
  #observer: BlockObserver | null = null;

  constructor(blockCount: number) {
    if (!Number.isInteger(blockCount) || blockCount < 2) {
      throw new Error(`A KV pool needs at least 2 blocks, not "${blockCount}".`);
    }
    this.blockCount = blockCount;
    this.#references = new Uint32Array(blockCount);
    this.#keys = new Float64Array(blockCount).fill(NO_KEY);
    this.#next = new Int32Array(blockCount);
    this.#previous = new Int32Array(blockCount);
    for (let block = 1; block < blockCount; block += 1) this.#append(block);
  }

  observe(observer: BlockObserver): void {
    this.#observer = observer;
  }

  get freeBlocks(): number {
    return this.#free;
  }

  /** Blocks that can be handed out at all. */
  get usableBlocks(): number {
    return this.blockCount - 1;
  }

  get usedBlocks(): number {
    return this.usableBlocks - this.#free;
  }

  references(block: number): number {
    return this.#references[block] ?? 0;
  }

  /** A block that holds this prefix, or undefined. */
  find(key: number): number | undefined {
    return this.#byKey.get(key)?.[0];
  }

  /** Takes cached blocks into use again. */
  share(blocks: readonly number[]): void {
    for (const block of blocks) {
      if (this.references(block) === 0) {
        this.#unlink(block);
        this.#observer?.revived(block);
      }
      this.#references[block] = this.references(block) + 1;
    }
  }

  /** Takes `count` free blocks, forgetting what they held. @throws when there are not that many. */
  take(count: number): number[] {
    if (count > this.#free) throw new Error(`${count} blocks wanted, ${this.#free} free.`);
    const blocks: number[] = [];
    for (let taken = 0; taken < count; taken += 1) {
      const block = this.#next[0] ?? 0;
      this.#unlink(block);
      this.#forget(block);
      this.#references[block] = 1;
      blocks.push(block);
    }
    this.#observer?.taken(blocks);
    return blocks;
  }

  /** Gives references back; the last block of a sequence becomes reusable first. */
  release(blocks: readonly number[]): void {
    for (let index = blocks.length - 1; index >= 0; index -= 1) {
      const block = blocks[index] ?? 0;
      const references = this.references(block);
      if (references === 0) throw new Error(`Block ${block} was freed twice.`);
      this.#references[block] = references - 1;
      if (references === 1) this.#append(block);
    }
  }

  /** Makes a full block findable by its prefix. */
  register(block: number, key: number): void {
    if (this.#keys[block] !== NO_KEY) return;
    this.#keys[block] = key;
    const holders = this.#byKey.get(key);
    if (holders) holders.push(block);
    else this.#byKey.set(key, [block]);
  }

  /** Forgets all cached prefixes; refused (false) while any block is in use. */
  resetPrefixCache(): boolean {
    if (this.usedBlocks > 0) return false;
    this.#byKey.clear();
    this.#keys.fill(NO_KEY);
    return true;
  }

  #forget(block: number): void {
    const key = this.#keys[block] ?? NO_KEY;
    if (key === NO_KEY) return;
    this.#keys[block] = NO_KEY;
    const holders = this.#byKey.get(key);
    if (!holders) return;
    if (holders.length === 1) this.#byKey.delete(key);
    else holders.splice(holders.indexOf(block), 1);
  }

  #append(block: number): void {
    const last = this.#previous[0] ?? 0;
    this.#next[last] = block;
    this.#previous[block] = last;
    this.#next[block] = 0;
    this.#previous[0] = block;
    this.#free += 1;
  }

  #unlink(block: number): void {
    const before = this.#previous[block] ?? 0;
    const after = this.#next[block] ?? 0;
    this.#next[before] = after;
    this.#previous[after] = before;
    this.#free -= 1;
  }
}

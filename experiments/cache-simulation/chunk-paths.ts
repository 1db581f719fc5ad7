import type { RequestGroup } from '../../workloads/traces/columnar-format.js';
import type { ColumnarReader } from '../../workloads/traces/columnar-reader.js';

export interface ChunkOptions {
  /** Tokens of a chunk: LMCache's `chunk_size`. */
  readonly chunkTokens: number;
  /** Whether the chunks of answers are stored too, as LMCache's multiprocess server does. */
  readonly storeAnswers: boolean;
  /** Requests whose prompt and answer exceed this are left out; null: none are. */
  readonly maxContextTokens: number | null;
}

/** What a trace is, seen as chunks. */
export interface ChunkFacts {
  readonly requests: number;
  readonly skippedRequests: number;
  readonly conversations: number;
  /** Chunks looked up: the full ones of every prompt. */
  readonly lookups: number;
  /** Chunks looked up or stored: what every policy handles. */
  readonly accesses: number;
  /** What a cache without limit holds in the end. */
  readonly distinctChunks: number;
  /** Of `lookups`, those that a cache without limit has. */
  readonly reusedLookups: number;
  readonly promptTokens: number;
  readonly longestPath: number;
  readonly spanSeconds: number;
}

const MAX_CHUNKS = 2 ** 31;

/**
 * The requests of a columnar trace as paths of chunks: the numbers of the prompt's full chunks from its first token
 * on, then those that the answer fills. A chunk is named by its tokens and all before them, so that paths form a tree:
 * whoever shares a chunk shares everything before it.
 */
export class ChunkPaths {
  readonly facts: ChunkFacts;
  readonly groupCount: number;
  readonly rowCount: number;
  /** Chunks are numbered below this. */
  readonly idSpace: number;
  /** Numbers of the chunks of the request selected last, in `[0, length)`; the first `lookups` are looked up. */
  readonly path: Uint32Array;
  length = 0;
  lookups = 0;
  /** The group loaded last. */
  rows = 0;
  firstRow = 0;
  #columns: RequestGroup | null = null;
  #idStarts: Uint32Array = new Uint32Array(1);
  readonly #reader: ColumnarReader;
  readonly #options: ChunkOptions;
  /** First chunk of each conversation; null where prompts are known by blocks. */
  readonly #firstChunks: Uint32Array | null;

  private constructor(
    reader: ColumnarReader,
    options: ChunkOptions,
    facts: ChunkFacts,
    firstChunks: Uint32Array | null,
  ) {
    this.#reader = reader;
    this.#options = options;
    this.facts = facts;
    this.#firstChunks = firstChunks;
    this.groupCount = reader.groupCount;
    this.rowCount = reader.header.requests;
    const { blockTokens, distinctBlocks } = reader.header;
    this.idSpace =
      firstChunks === null ? distinctBlocks * blockShape(blockTokens, options.chunkTokens).parts : facts.distinctChunks;
    this.path = new Uint32Array(Math.max(1, facts.longestPath));
  }

  /**
   * Reads the trace once to number its chunks.
   * @throws RangeError where chunks do not fit the trace's blocks; TraceFileError where the file is damaged
   */
  static async open(reader: ColumnarReader, options: ChunkOptions, signal?: AbortSignal): Promise<ChunkPaths> {
    const { blockTokens } = reader.header;
    const { chunkTokens } = options;
    if (blockTokens !== null && blockTokens % chunkTokens !== 0 && chunkTokens % blockTokens !== 0) {
      throw new RangeError(
        `Chunks of "${chunkTokens}" tokens do not fit the trace's blocks of ${blockTokens}: one must divide the other.`,
      );
    }
    const survey = new Survey(reader, options);
    for (let group = 0; group < reader.groupCount; group += 1) {
      signal?.throwIfAborted();
      survey.add(await reader.readGroup(group));
    }
    const { facts, firstChunks } = survey.finish();
    return new ChunkPaths(reader, options, facts, firstChunks);
  }

  async load(group: number): Promise<void> {
    const columns = await this.#reader.readGroup(group);
    this.#columns = columns;
    this.rows = columns.rows;
    this.firstRow = columns.firstRow;
    if (this.#firstChunks === null) {
      this.#idStarts = startsOf(columns.blockCounts);
    }
  }

  /** Makes `path` that of a row of the loaded group. @returns false for a request that is left out */
  select(row: number): boolean {
    const columns = this.#columns;
    if (columns === null) {
      return false;
    }
    const promptTokens = columns.promptTokens[row] ?? 0;
    const total = promptTokens + (columns.outputTokens[row] ?? 0);
    const { chunkTokens, storeAnswers, maxContextTokens } = this.#options;
    if (maxContextTokens !== null && total > maxContextTokens) {
      return false;
    }
    this.lookups = Math.floor(promptTokens / chunkTokens);
    if (this.#firstChunks === null) {
      this.length = this.lookups;
      this.#fillFromBlocks(columns.blockIds, this.#idStarts[row] ?? 0);
    } else {
      this.length = storeAnswers ? Math.floor(total / chunkTokens) : this.lookups;
      const first = this.#firstChunks[columns.conversations[row] ?? 0] ?? 0;
      for (let position = 0; position < this.length; position += 1) {
        this.path[position] = first + position;
      }
    }
    return true;
  }

  /** Seconds of the trace. */
  timeOf(row: number): number {
    return this.#columns?.times[row] ?? 0;
  }

  conversationOf(row: number): number {
    return this.#columns?.conversations[row] ?? 0;
  }

  #fillFromBlocks(ids: Uint32Array, start: number): void {
    const { parts, blocks } = blockShape(this.#reader.header.blockTokens, this.#options.chunkTokens);
    for (let position = 0; position < this.length; position += 1) {
      this.path[position] = chunkNumber(ids, start, position, parts, blocks);
    }
  }
}

/** Chunks a block, blocks a chunk: one of them is 1. */
function blockShape(
  blockTokens: number | null,
  chunkTokens: number,
): { readonly parts: number; readonly blocks: number } {
  const ratio = (blockTokens ?? chunkTokens) / chunkTokens;
  return { parts: Math.max(1, ratio), blocks: Math.max(1, Math.round(1 / ratio)) };
}

/** A block's chunks are numbered within it; a chunk of several blocks is named by its last one, which names them all. */
function chunkNumber(ids: Uint32Array, start: number, position: number, parts: number, blocks: number): number {
  const block = Math.floor(position / parts);
  return (ids[start + (block + 1) * blocks - 1] ?? 0) * parts + (position - block * parts);
}

function startsOf(counts: Uint32Array): Uint32Array {
  const starts = new Uint32Array(counts.length + 1);
  let at = 0;
  for (const [row, count] of counts.entries()) {
    starts[row] = at;
    at += count;
  }
  starts[counts.length] = at;
  return starts;
}

/** The pass that numbers chunks and counts them. */
class Survey {
  readonly #reader: ColumnarReader;
  readonly #options: ChunkOptions;
  /** Most chunks of each conversation so far. */
  readonly #chunks: Uint32Array;
  /** A bit for each chunk of a trace of blocks. */
  readonly #seen: Uint8Array;
  #counts = {
    requests: 0,
    skippedRequests: 0,
    lookups: 0,
    accesses: 0,
    distinctChunks: 0,
    reusedLookups: 0,
    promptTokens: 0,
    longestPath: 0,
    spanSeconds: 0,
  };

  constructor(reader: ColumnarReader, options: ChunkOptions) {
    this.#reader = reader;
    this.#options = options;
    const { blockTokens, distinctBlocks, conversations } = reader.header;
    const chunks = distinctBlocks * blockShape(blockTokens, options.chunkTokens).parts;
    checkCount(chunks);
    this.#chunks = new Uint32Array(blockTokens === null ? conversations : 0);
    this.#seen = new Uint8Array(Math.ceil(chunks / 8));
  }

  add(columns: RequestGroup): void {
    const { chunkTokens, storeAnswers, maxContextTokens } = this.#options;
    const counts = this.#counts;
    const hasBlocks = this.#reader.header.blockTokens !== null;
    const starts = hasBlocks ? startsOf(columns.blockCounts) : columns.blockCounts;
    for (let row = 0; row < columns.rows; row += 1) {
      const promptTokens = columns.promptTokens[row] ?? 0;
      const total = promptTokens + (columns.outputTokens[row] ?? 0);
      if (maxContextTokens !== null && total > maxContextTokens) {
        counts.skippedRequests += 1;
        continue;
      }
      const lookups = Math.floor(promptTokens / chunkTokens);
      const length = storeAnswers && !hasBlocks ? Math.floor(total / chunkTokens) : lookups;
      counts.requests += 1;
      counts.promptTokens += promptTokens;
      counts.lookups += lookups;
      counts.accesses += length;
      counts.longestPath = Math.max(counts.longestPath, length);
      const known = hasBlocks
        ? this.#markBlocks(columns.blockIds, starts[row] ?? 0, lookups)
        : this.#extend(columns.conversations[row] ?? 0, length);
      counts.reusedLookups += Math.min(known, lookups);
    }
    counts.spanSeconds = columns.times[columns.rows - 1] ?? 0;
  }

  finish(): { readonly facts: ChunkFacts; readonly firstChunks: Uint32Array | null } {
    const { conversations, blockTokens } = this.#reader.header;
    const counts = this.#counts;
    if (blockTokens !== null) {
      return { facts: { ...counts, conversations }, firstChunks: null };
    }
    const firstChunks = this.#chunks;
    let next = 0;
    for (const [conversation, chunks] of firstChunks.entries()) {
      firstChunks[conversation] = next;
      next += chunks;
    }
    checkCount(next);
    return { facts: { ...counts, conversations, distinctChunks: next }, firstChunks };
  }

  /** @returns how many of the conversation's chunks were there before */
  #extend(conversation: number, length: number): number {
    const before = this.#chunks[conversation] ?? 0;
    if (length > before) {
      this.#chunks[conversation] = length;
    }
    return before;
  }

  #markBlocks(ids: Uint32Array, start: number, length: number): number {
    const { parts, blocks } = blockShape(this.#reader.header.blockTokens, this.#options.chunkTokens);
    let known = 0;
    for (let position = 0; position < length; position += 1) {
      const id = chunkNumber(ids, start, position, parts, blocks);
      const bit = 1 << (id & 7);
      const byte = this.#seen[id >>> 3] ?? 0;
      if ((byte & bit) === 0) {
        this.#seen[id >>> 3] = byte | bit;
        this.#counts.distinctChunks += 1;
      } else {
        known += 1;
      }
    }
    return known;
  }
}

function checkCount(chunks: number): void {
  if (chunks > MAX_CHUNKS) {
    throw new RangeError(`The trace has ${chunks} distinct chunks; at most ${MAX_CHUNKS} can be simulated.`);
  }
}

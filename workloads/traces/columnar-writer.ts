import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { namingFile } from '../../results-schema/file-trouble.js';
import { makeFolder } from '../../results-schema/make-folder.js';
import { draftOf } from '../../results-schema/whole-file.js';
import {
  encodeHeader,
  groupLayout,
  groupViews,
  HEADER_BYTES,
  INDEX_ENTRY_BYTES,
  ROWS_A_GROUP,
} from './columnar-format.js';

/** One request as the writer takes it. */
export interface ColumnarRow {
  readonly timeSeconds: number;
  readonly conversation: number;
  readonly turn: number;
  readonly newTokens: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Numbers of its blocks, counted from 0 without gaps over the trace; only where the writer has `blockTokens`. */
  readonly blockIds?: ArrayLike<number>;
}

interface ColumnarFacts {
  readonly conversations: number;
  readonly startedAt: number | null;
  readonly distinctBlocks: number;
  readonly timesMade: boolean;
}

/** Writes a columnar trace group by group under another name; `finish` gives it its own, `discard` removes it. */
export class ColumnarWriter {
  readonly #path: string;
  readonly #unfinished: string;
  readonly #file: FileHandle;
  readonly #blockTokens: number | null;
  readonly #times = new Float64Array(ROWS_A_GROUP);
  readonly #columns = Array.from({ length: 6 }, () => new Uint32Array(ROWS_A_GROUP));
  #blockIds = new Uint32Array(1024);
  #blockIdCount = 0;
  #rows = 0;
  #requests = 0;
  #offset = HEADER_BYTES;
  readonly #index: { readonly offset: number; readonly bytes: number; readonly crc: number; readonly rows: number }[] =
    [];

  private constructor(path: string, unfinished: string, file: FileHandle, blockTokens: number | null) {
    this.#path = path;
    this.#unfinished = unfinished;
    this.#file = file;
    this.#blockTokens = blockTokens;
  }

  static async create(path: string, blockTokens: number | null): Promise<ColumnarWriter> {
    const unfinished = draftOf(path);
    try {
      makeFolder(dirname(path), 0o755);
      return new ColumnarWriter(path, unfinished, await open(unfinished, 'wx', 0o644), blockTokens);
    } catch (error) {
      throw namingFile(error, path);
    }
  }

  /** @returns true when a group is full: `flush` must be awaited before the next row. */
  add(row: ColumnarRow): boolean {
    const at = this.#rows;
    const [conversations, turns, newTokens, promptTokens, outputTokens, blockCounts] = this.#columns;
    this.#times[at] = row.timeSeconds;
    if (conversations && turns && newTokens && promptTokens && outputTokens && blockCounts) {
      conversations[at] = row.conversation;
      turns[at] = row.turn;
      newTokens[at] = row.newTokens;
      promptTokens[at] = row.promptTokens;
      outputTokens[at] = row.outputTokens;
      blockCounts[at] = row.blockIds?.length ?? 0;
    }
    if (row.blockIds !== undefined) {
      this.#addBlocks(row.blockIds);
    }
    this.#rows = at + 1;
    return this.#rows === ROWS_A_GROUP;
  }

  async flush(): Promise<void> {
    const rows = this.#rows;
    if (rows === 0) {
      return;
    }
    const hasBlocks = this.#blockTokens !== null;
    const layout = groupLayout(rows, this.#blockIdCount, hasBlocks);
    const bytes = Buffer.from(new ArrayBuffer(layout.bytes));
    bytes.writeUInt32LE(rows, 0);
    bytes.writeUInt32LE(this.#blockIdCount, 4);
    const views = groupViews(bytes, this.#requests, rows, this.#blockIdCount, hasBlocks);
    views.times.set(this.#times.subarray(0, rows));
    const { conversations, turns, newTokens, promptTokens, outputTokens, blockCounts } = views;
    for (const [column, view] of [conversations, turns, newTokens, promptTokens, outputTokens, blockCounts].entries()) {
      view.set((this.#columns[column] ?? view).subarray(0, view.length));
    }
    views.blockIds.set(this.#blockIds.subarray(0, views.blockIds.length));
    await this.#write(bytes, this.#offset);
    this.#index.push({ offset: this.#offset, bytes: bytes.length, crc: crc32(bytes), rows });
    this.#offset += bytes.length;
    this.#requests += rows;
    this.#rows = 0;
    this.#blockIdCount = 0;
  }

  /** @param path where the file goes; default: where `create` said */
  async finish(facts: ColumnarFacts, path: string = this.#path): Promise<void> {
    await this.flush();
    const index = Buffer.alloc(this.#index.length * INDEX_ENTRY_BYTES);
    for (const [group, { offset, bytes, crc, rows }] of this.#index.entries()) {
      const at = group * INDEX_ENTRY_BYTES;
      index.writeDoubleLE(offset, at);
      index.writeDoubleLE(bytes, at + 8);
      index.writeUInt32LE(crc, at + 16);
      index.writeUInt32LE(rows, at + 20);
    }
    const header = encodeHeader({
      ...facts,
      requests: this.#requests,
      rowsPerGroup: ROWS_A_GROUP,
      blockTokens: this.#blockTokens,
      indexOffset: this.#offset,
    });
    await this.#write(index, this.#offset);
    await this.#write(header, 0);
    try {
      await this.#file.sync();
      await this.#file.close();
      await rename(this.#unfinished, path);
    } catch (error) {
      throw namingFile(error, path);
    }
  }

  /** All of it: a disk that is nearly full takes a part and reports no error. */
  async #write(bytes: Buffer, offset: number): Promise<void> {
    try {
      for (let at = 0; at < bytes.length; ) {
        at += (await this.#file.write(bytes, at, bytes.length - at, offset + at)).bytesWritten;
      }
    } catch (error) {
      throw namingFile(error, this.#path);
    }
  }

  /** After a failure, or instead of `finish`; harmless after it. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await rm(this.#unfinished, { force: true });
  }

  #addBlocks(ids: ArrayLike<number>): void {
    const needed = this.#blockIdCount + ids.length;
    if (needed > this.#blockIds.length) {
      const larger = new Uint32Array(Math.max(needed, this.#blockIds.length * 2));
      larger.set(this.#blockIds.subarray(0, this.#blockIdCount));
      this.#blockIds = larger;
    }
    this.#blockIds.set(ids, this.#blockIdCount);
    this.#blockIdCount = needed;
  }
}

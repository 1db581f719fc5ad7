import type { FileHandle } from 'node:fs/promises';
import { endianness } from 'node:os';
import { crc32 } from 'node:zlib';
import {
  type ColumnarHeader,
  decodeHeader,
  GROUP_HEAD_BYTES,
  groupLayout,
  groupViews,
  HEADER_BYTES,
  INDEX_ENTRY_BYTES,
  isColumnar,
  type RequestGroup,
} from './columnar-format.js';
import { fileStart, openFile } from './file-chunks.js';
import { TraceFileError } from './trace.js';

interface GroupEntry {
  readonly offset: number;
  readonly bytes: number;
  readonly crc: number;
  readonly rows: number;
  readonly firstRow: number;
}

/** Whether a file is a columnar trace, by its first bytes. @throws TraceFileError when it cannot be read */
export async function isColumnarFile(path: string): Promise<boolean> {
  return isColumnar(await fileStart(path, HEADER_BYTES));
}

/** A columnar trace, read group by group in any order; memory holds one group. */
export class ColumnarReader {
  readonly path: string;
  readonly header: ColumnarHeader;
  readonly #file: FileHandle;
  readonly #groups: readonly GroupEntry[];
  #buffer = Buffer.from(new ArrayBuffer(0));

  private constructor(path: string, header: ColumnarHeader, file: FileHandle, groups: readonly GroupEntry[]) {
    this.path = path;
    this.header = header;
    this.#file = file;
    this.#groups = groups;
  }

  /** @throws TraceFileError where the file is not a columnar trace, of another version, cut off or damaged */
  static async open(path: string): Promise<ColumnarReader> {
    if (endianness() !== 'LE') {
      throw new TraceFileError(path, 'is little-endian, and this machine is not');
    }
    const file = await openFile(path);
    try {
      const start = Buffer.alloc(HEADER_BYTES);
      const { bytesRead } = await file.read(start, 0, HEADER_BYTES, 0);
      const header = decodeHeader(path, start.subarray(0, bytesRead));
      return new ColumnarReader(path, header, file, await readIndex(path, file, header));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get groupCount(): number {
    return this.#groups.length;
  }

  /**
   * @returns the columns of a group, valid until the next call
   * @throws TraceFileError where its bytes are damaged
   */
  async readGroup(group: number): Promise<RequestGroup> {
    const entry = this.#groups[group];
    if (entry === undefined) {
      throw new RangeError(`There is no group ${group}.`);
    }
    if (this.#buffer.length < entry.bytes) {
      this.#buffer = Buffer.from(new ArrayBuffer(Math.ceil(entry.bytes * 1.25)));
    }
    const bytes = this.#buffer.subarray(0, entry.bytes);
    const { bytesRead } = await this.#file.read(bytes, 0, entry.bytes, entry.offset);
    const rows = bytesRead >= GROUP_HEAD_BYTES ? bytes.readUInt32LE(0) : 0;
    const ids = bytesRead >= GROUP_HEAD_BYTES ? bytes.readUInt32LE(4) : 0;
    const hasBlocks = this.header.blockTokens !== null;
    if (
      bytesRead !== entry.bytes ||
      crc32(bytes) !== entry.crc ||
      rows !== entry.rows ||
      groupLayout(rows, ids, hasBlocks).bytes !== entry.bytes
    ) {
      throw new TraceFileError(
        this.path,
        `requests ${entry.firstRow + 1} to ${entry.firstRow + entry.rows} (from byte ${entry.offset} on) are damaged: convert the trace again`,
      );
    }
    return groupViews(bytes, entry.firstRow, rows, ids, hasBlocks);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

async function readIndex(path: string, file: FileHandle, header: ColumnarHeader): Promise<readonly GroupEntry[]> {
  const { size } = await file.stat();
  const bytes = size - header.indexOffset;
  const count = bytes / INDEX_ENTRY_BYTES;
  const expected = Math.ceil(header.requests / header.rowsPerGroup);
  if (count !== expected) {
    throw new TraceFileError(
      path,
      `is cut off or damaged: its index has ${bytes} bytes, where ${expected} groups have ${expected * INDEX_ENTRY_BYTES}`,
    );
  }
  const index = Buffer.alloc(bytes);
  await file.read(index, 0, bytes, header.indexOffset);
  const groups: GroupEntry[] = [];
  let firstRow = 0;
  let end = HEADER_BYTES;
  for (let at = 0; at < bytes; at += INDEX_ENTRY_BYTES) {
    const rows = index.readUInt32LE(at + 20);
    const entry = {
      offset: index.readDoubleLE(at),
      bytes: index.readDoubleLE(at + 8),
      crc: index.readUInt32LE(at + 16),
      rows,
      firstRow,
    };
    if (entry.offset !== end || !(entry.bytes > 0) || entry.offset + entry.bytes > header.indexOffset) {
      throw new TraceFileError(path, `has a damaged index (group ${groups.length + 1}): convert the trace again`);
    }
    groups.push(entry);
    firstRow += rows;
    end += entry.bytes;
  }
  if (firstRow !== header.requests || end !== header.indexOffset) {
    throw new TraceFileError(
      path,
      `has a damaged index: it counts ${firstRow} requests, the header ${header.requests}`,
    );
  }
  return groups;
}
